local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local restarts = require "support.restarts"
local titan = require "titan"

local RUNAWAY <const> = "workers.runaway"

local SHORT <const> = { timeout = 30 }
local IMPATIENT <const> = { interrupt_grace = 60 }

-- The thread sanitizer delivers a signal only at certain calls, which these tests do not make.
local untested_by_tsan = (os.getenv "TITAN_BUILD" or ""):find "tsan" and pending or it

-- The worker, which must be the one it was and answer.
local function expect_alive(pm, worker, pid)
  local info = pm:get_process_info(worker:__id())
  assert.equal("running", info.status)
  assert.equal(pid, info.pid)
  assert.equal(3, worker:add(1, 2))
end

-- What its methods have noted. Their time begins when they are taken, their caller's when it calls:
-- of one that was taken late the caller may have gone first, and then it is cancelled.
local function seen(worker)
  local notes = { worker:seen() }
  for i, text in ipairs(notes) do
    notes[i] = text:gsub("cancelled", "timeout")
  end
  return notes
end

-- A test of one worker.
local function with_worker(fn)
  return managed(function(pm)
    local worker = pm:spawn(RUNAWAY, { name = "runaway" })
    fn(worker, pm, pm:get_process_info("runaway").pid)
  end)
end

describe("a method whose time is over", function()
  local function interrupted(ways)
    return with_worker(function(worker, pm, pid)
      for way, notes in pairs(ways) do
        local err = expect.error("timeout", function()
          worker:with(SHORT):run_away(way)
        end)
        assert.equal("run_away", err.method, way)
        expect_alive(pm, worker, pid)
        assert.same(notes, seen(worker), way)
      end
      -- Each was counted as an error, and none is left.
      local activity = pm:get_process_info(worker:__id()).activity
      assert.equal(0, activity.in_flight)
    end)
  end

  it("is interrupted in a loop", interrupted { plain = {}, go_before = {}, own_limit = {} })

  untested_by_tsan("is interrupted in a loop of nothing", interrupted { bare = {} })

  it("is interrupted in what C code calls", interrupted { sort = {}, gsub = {} })

  it("is interrupted in a metamethod", interrupted { index = {}, order = {}, close = {} })

  it("is interrupted in coroutines of its own", interrupted {
    create = { "inner false timeout dead", "outer false timeout dead" },
    wrap = {}, wrap_inside = {},
  })

  it("can catch that, and is interrupted again when it goes on", interrupted {
    pcall = { "caught false timeout" }, pcall_twice = { "once" },
  })

  it("closes its to-be-closed variables", interrupted { closing = { "closed timeout" } })

  it("keeps its own hook", with_worker(function(worker)
    expect.error("timeout", function()
      worker:with(SHORT):run_away "hooked"
    end)
    assert.same({ "hooked false timeout true", "goes on true" }, seen(worker))
  end))

  it("takes the tasks with it that it has begun", with_worker(function(worker, pm, pid)
    -- It has returned nothing before its task has waited, so that its time ends there.
    expect.error("timeout", function()
      worker:with(SHORT):run_away "go"
    end)
    expect_alive(pm, worker, pid)
  end))

  it("is interrupted where the deadline is that of its caller", managed(function(pm)
    local first = pm:spawn(RUNAWAY, { name = "first" })
    local second = pm:spawn(RUNAWAY, { name = "second" })
    local pid = pm:get_process_info("second").pid
    expect.error("timeout", function()
      first:with(SHORT):pass_on("second", "run_away", "plain")
    end)
    expect_alive(pm, second, pid)
    assert.equal(3, first:add(1, 2))
  end))

  it("is interrupted in a pool", managed(function(pm)
    local pool = pm:create_pool(RUNAWAY, { size = 1 })
    expect.error("timeout", function()
      pool:with(SHORT):run_away "plain"
    end)
    assert.equal(3, pool:add(1, 2))
    pool:destroy()
  end))

  it("costs the other calls of its worker nothing but the time", with_worker(function(worker)
    local slept = {}
    for i = 1, 5 do
      slept[i] = worker.async:sleep(1)
    end
    expect.error("timeout", function()
      worker:with(SHORT):run_away "plain"
    end)
    assert.same({ "slept", "slept", "slept", "slept", "slept", n = 5 },
      titan.all(slept))
  end))
end)

describe("a method whose caller has cancelled", function()
  it("is interrupted, too", with_worker(function(worker, pm, pid)
    local future = worker.async:run_away "pcall"
    proc.await("the loop", function()
      return pm:get_process_info("runaway").activity.running
    end)
    assert.is_true(future:cancel())
    expect_alive(pm, worker, pid)
    assert.same({ "caught false cancelled" }, { worker:seen() })
  end))
end)

describe("a method that is within its time", function()
  it("is left alone when another's is over", with_worker(function(worker)
    local burning = worker.async:burn(60)
    expect.error("timeout", function()
      worker:with { timeout = 10 }:add(1, 2)
    end)
    assert.equal("burnt", burning:await())
  end))

  it("is never taken for another", with_worker(function(worker, pm, pid)
    local burnt = 0
    for i = 1, 15 do
      local calls = {}
      for j = 1, 6 do
        calls[j] = worker.async:burn(1)
      end
      pcall(function()
        worker:with { timeout = 3 }:run_away(i % 2 == 0 and "plain" or "create")
      end)
      for _, call in ipairs(calls) do
        assert.equal("burnt", call:await())
        burnt = burnt + 1
      end
      worker:seen()
    end
    assert.equal(90, burnt)
    expect_alive(pm, worker, pid)
  end))
end)

describe("a worker that does not give way", function()
  local function killed(way)
    return managed({ advanced = { interrupt_grace = 60 } }, function(pm)
      local worker = pm:spawn(RUNAWAY, { name = "stuck" })
      local sleeping = worker.async:sleep "1h"
      expect.error("timeout", function()
        worker:with(SHORT):be_stubborn(way)
      end)
      local err = expect.error("worker_lost", sleeping.await, sleeping)
      expect.part({ "did not give way", "ms after the time of `be_stubborn` was over",
        "(stuck in C code?) and was killed" }, err.message)
      local info = pm:get_process_info(worker:__id())
      assert.equal("crashed", info.status)
      expect.part("did not give way", info.last_error.message)
    end)
  end

  it("since it catches each interruption is killed", killed "pcall")
  untested_by_tsan("since it matches a pattern is killed", killed "bomb")
  it("since it collects garbage is killed", killed "finalizer")
  it("since it handles an error is killed", killed "handler")

  it("is killed when it was another worker that had called it", managed({
    advanced = IMPATIENT,
  }, function(pm)
    local first = pm:spawn(RUNAWAY, { name = "first" })
    local id = pm:spawn(RUNAWAY, { name = "second" }):__id()
    expect.error("timeout", function()
      first:with(SHORT):pass_on("second", "be_stubborn", "pcall")
    end)
    proc.await("the end of the second", function()
      return pm:get_process_info(id).status == "crashed"
    end)
    expect.part("did not give way", pm:get_process_info(id).last_error.message)
    assert.equal(3, first:add(1, 2))
  end))

  it("is started again as after any crash", managed({
    advanced = IMPATIENT, restart_policy = restarts.soon(),
  }, function(pm)
    local worker = pm:spawn(RUNAWAY, { name = "stuck" })
    expect.error("timeout", function()
      worker:with(SHORT):be_stubborn "pcall"
    end)
    proc.await("the next life", function()
      local info = pm:get_process_info "stuck"
      return info.restart_count == 1 and info.status == "running"
    end)
    assert.equal(3, worker:add(1, 2))
  end))

  it("is not one that gives way later than its time", managed({
    advanced = { interrupt_grace = 10000 },
  }, function(pm)
    local worker = pm:spawn(RUNAWAY, { name = "slow" })
    local pid = pm:get_process_info("slow").pid
    expect.error("timeout", function()
      worker:with { timeout = 10 }:ignore()
    end)
    assert.equal("ignored", worker:seen())
    expect_alive(pm, worker, pid)
  end))
end)

describe("errors that are hard to tell", function()
  it("are answers like others", with_worker(function(worker, pm, pid)
    expect.part("stack overflow", expect.error("remote_error", worker.recurse, worker).message)
    expect.error("remote_error", worker.raise_worse, worker)
    expect_alive(pm, worker, pid)
  end))
end)
