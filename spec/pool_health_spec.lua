--- What a pool does about workers that are not well.

local expect = require "support.expect"
local luv = require "luv"
local pooled = require "support.pooled"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local CHECK <const> = { interval = 20, timeout = 40, failures = 2, hang_after = 100 }

-- Waits until other processes than these are all there is, and up.
local function await_replaced(pool, old)
  proc.await("another worker", function()
    local workers = pool:metrics().workers
    for _, worker in ipairs(workers) do
      if worker.state ~= "up" or worker.pid == old then
        return false
      end
    end
    return #workers > 0
  end)
end

describe("a pool", function()
  it("replaces a worker that is stopped by a signal", pooled({ size = 2, health_check = CHECK },
    function(pool, pm)
      local next_change = proc.listen(pm, "health:change")
      local victim = pool:pid()
      luv.kill(victim, "sigstop")
      await_replaced(pool, victim)
      proc.await_gone(victim)
      assert.equal(2, pool.size)
      assert.equal(1, pool:echo(1))
      local change
      repeat
        change = next_change()
      until change.to == "unhealthy"
      assert.equal(victim, change.pid)
    end))

  it("replaces a worker that hangs, whose calls are lost", pooled({
    size = 1, heartbeat = 20, health_check = { timeout = 40, failures = 2, hang_after = 100 },
    spawn_options = { shutdown_timeout = 100 },
  }, function(pool)
    local hung = pool:pid()
    expect.error("worker_lost", pool.hang, pool)
    await_replaced(pool, hung)
    assert.equal(1, pool:echo(1))
  end))

  it("leaves one alone that is only busy", pooled({ size = 1, health_check = CHECK },
    function(pool)
      local pid = pool:pid()
      for _ = 1, 20 do
        assert.equal(pid, pool:burn(30)) -- no time for an answer in between but for a call
      end
      assert.equal(pid, pool:pid())
    end))

  it("keeps what is not well when it is told to", pooled({
    size = 1, replace_unhealthy = false,
    health_check = { interval = 20, timeout = 20, failures = 1, restart_hung = false },
  }, function(pool, pm)
    local next_critical = proc.listen(pm, "health:critical")
    local pid = pool:pid()
    luv.kill(pid, "sigstop")
    assert.equal(pid, next_critical().pid)
    titan.sleep(50)
    luv.kill(pid, "sigcont")
    assert.equal(pid, pool:pid())
  end))
end)
