--- The spare: a worker that is forked ahead of its need.

local core = require "titan.core"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

local STEADY <const> = "fault_workers.steady"

-- With a spare, and with restarts at once.
local CONFIG <const> = function()
  return {
    advanced = { spare_worker = true },
    restart_policy = { delay = 0, max_restarts = 1000, backoff = { initial = 0 } },
  }
end

---@param pm titan.Manager
---@return integer? pid of the child that is neither zygote nor a worker that somebody knows
local function find_spare(pm)
  local known = { [core.manager_zygote_pid(pm.handle) or 0] = true }
  for _, info in ipairs(pm:get_all_processes()) do
    known[info.pid or 0] = true
  end
  for _, stat in ipairs(proc.children()) do
    if not known[stat.pid] then
      return stat.pid
    end
  end
end

---@param pm titan.Manager
---@return integer pid
local function await_spare(pm)
  local spare
  proc.await("the spare", function()
    spare = find_spare(pm)
    return spare ~= nil
  end)
  titan.sleep(5) -- the zygote's answer, and so the manager's knowledge of it
  return spare
end

describe("the spare worker", function()
  it("is not there before there is a worker, and one after", managed(CONFIG(), function(pm)
    assert.is_nil(find_spare(pm))
    pm:spawn(STEADY)
    await_spare(pm)
    titan.sleep(20)
    assert.equal(3, #proc.children()) -- zygote, worker, spare
  end))

  it("becomes the next worker", managed(CONFIG(), function(pm)
    pm:spawn(STEADY)
    local spare = await_spare(pm)
    local worker = pm:spawn(STEADY, { name = "second", env = { LATE = "yes" } })
    assert.equal(spare, pm:get_process_info("second").pid)
    assert.equal(1, worker:echo(1))
    assert.not_equal(spare, await_spare(pm))
  end))

  it("becomes the next life of one that crashed", managed(CONFIG(), function(pm)
    local worker = pm:spawn(STEADY, { name = "w" })
    for life = 1, 5 do
      local spare, restarted = await_spare(pm), titan.go(function()
        local future, settle = require("titan.tasks").promise()
        local handler = pm:on("process:restart", function()
          settle(true)
        end)
        pm:kill "w"
        future:await()
        pm:off("process:restart", handler)
      end)
      restarted:await()
      assert.equal(spare, pm:get_process_info("w").pid)
      assert.equal(life, pm:get_process_info("w").restart_count)
      assert.equal(life, worker:echo(life))
    end
  end))

  it("may have been killed: then the zygote forks", managed(CONFIG(), function(pm)
    pm:spawn(STEADY)
    local spare = await_spare(pm)
    luv.kill(spare, "sigkill")
    proc.await("its end", function()
      return proc.stat(spare).state == "Z"
    end)
    local worker = pm:spawn(STEADY, { name = "second" })
    assert.not_equal(spare, pm:get_process_info("second").pid)
    assert.equal(1, worker:echo(1))
    assert.is_false(proc.alive(spare))
  end))

  it("outlives its zygote, and what it has become dies with the manager", managed(CONFIG(),
    function(pm)
      pm:spawn(STEADY)
      local spare = await_spare(pm)
      luv.kill(core.manager_zygote_pid(pm.handle), "sigkill")
      local worker = pm:spawn(STEADY, { name = "second" })
      assert.equal(spare, pm:get_process_info("second").pid)
      assert.equal(1, worker:echo(1))
    end))

  it("goes through spawns while zygotes die", managed(CONFIG(), function(pm)
    for round = 1, 20 do
      local starting = {}
      for i = 1, 5 do
        starting[i] = titan.go(pm.spawn, pm, STEADY)
      end
      proc.await("two of them: one was the spare, the zygote serves", function()
        local done = 0
        for _, future in ipairs(starting) do
          done = done + (future:done() and 1 or 0)
        end
        return done >= 2
      end)
      luv.kill(core.manager_zygote_pid(pm.handle), "sigkill")
      for _, worker in ipairs(titan.all(starting)) do
        assert.equal(round, worker:echo(round))
        assert.is_true(pm:stop_process(worker:__id(), 0))
      end
    end
    pm:stop_all(0)
    pm:close()
    assert.same({}, proc.children())
  end))

  it("is gone when the manager is", managed(CONFIG(), function(pm)
    pm:spawn(STEADY)
    await_spare(pm)
    pm:close()
    assert.same({}, proc.children())
  end))

  it("leaves no descriptor behind, however often it is taken", managed(CONFIG(), function(pm)
    local function round()
      local worker = pm:spawn(STEADY)
      await_spare(pm)
      pm:stop_process(worker:__id(), 0)
    end
    round()
    local before = proc.fds()
    for _ = 1, 20 do
      round()
    end
    assert.equal(before, proc.fds())
  end))
end)
