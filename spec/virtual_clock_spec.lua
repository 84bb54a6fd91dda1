local core = require "titan.core"
local expect = require "support.expect"
local managed = require "support.managed"
local tasks = require "titan.tasks"
local titan = require "titan"

-- A test body that runs as a program and has a clock.
local function clocked(fn)
  return function()
    titan.run(function()
      local clock <close> = titan.testing.virtual_clock()
      fn(clock)
    end)
  end
end

describe("titan.testing.virtual_clock", function()
  it("lets no time pass by itself", clocked(function(clock)
    local now, wall = clock:now(), clock:wall()
    local start = require("luv").hrtime()
    repeat until require("luv").hrtime() - start > 3e6
    assert.equal(now, clock:now())
    assert.equal(now, core.monotonic_ms())
    assert.equal(wall, core.now_ms())
  end))

  it("wakes sleepers in the order of their times", clocked(function(clock)
    local woken = {}
    for _, ms in ipairs { 300, 100, 200 } do
      titan.go(function()
        titan.sleep(ms)
        woken[#woken + 1] = ms
      end)
    end
    clock:advance(99)
    assert.same({}, woken)
    clock:advance(1)
    assert.same({ 100 }, woken)
    clock:advance "1s"
    assert.same({ 100, 200, 300 }, woken)
  end))

  it("stops at each time on the way, so that what runs then sees it", clocked(function(clock)
    local start, seen = clock:now(), {}
    titan.go(function()
      for _ = 1, 4 do
        titan.sleep "10s"
        seen[#seen + 1] = clock:now() - start
      end
    end)
    clock:advance "35s"
    assert.same({ 10000, 20000, 30000 }, seen)
    assert.equal(35000, clock:now() - start)
    clock:advance "5s"
    assert.equal(40000, seen[4])
  end))

  it("lets tasks that wake each other finish before time goes on", clocked(function(clock)
    local start, at = clock:now(), nil
    local first = titan.go(titan.sleep, 10)
    titan.go(function()
      first:await()
      local second = titan.go(function()
        titan.sleep(0)
        return "done"
      end)
      assert(second:await() == "done")
      at = clock:now() - start
    end)
    titan.go(titan.sleep, 11)
    clock:advance(1000)
    assert.equal(10, at)
  end))

  it("ends what takes longer than titan.timeout allows", clocked(function(clock)
    local future = titan.go(titan.timeout, "1h", titan.sleep, "2h")
    clock:advance(3600000 - 1)
    assert.is_false(future:done())
    clock:advance(1)
    assert.is_true(future:done())
    expect.error("timeout", future.await, future)
  end))

  it("is what deadlines are counted by", clocked(function(clock)
    local lefts = {}
    local limited = titan.go(function()
      local _ <close> = core.time_limit(10000, "the limit")
      lefts[1] = core.time_left()
      titan.sleep "4s"
      lefts[2] = core.time_left()
      lefts[3] = titan.timeout("1s", core.time_left)
      titan.sleep "1h"
    end)
    clock:advance "9999ms"
    assert.same({ 10000, 6000, 1000 }, lefts)
    assert.is_false(limited:done())
    clock:advance(1)
    assert.equal("the limit", select(2, pcall(limited.await, limited)))
  end))

  it("is that of circuit breakers", clocked(function(clock)
    local take, give_back = core.breaker_new(
      { failure_threshold = 1, timeout = 30000, half_open_requests = 1 }, function() end)
    give_back(take(), false)
    assert.same({ n = 2, nil, 30000 }, table.pack(take()))
    clock:advance "29s"
    assert.same({ n = 2, nil, 1000 }, table.pack(take()))
    clock:advance "1s"
    assert.is_number((take()))
  end))

  it("runs until nobody waits for a time", clocked(function(clock)
    local woken = 0
    titan.go(function()
      titan.sleep "20m"
      titan.sleep "20m"
      woken = woken + 1
    end)
    assert.same({ true, 2400000 }, { clock:run_until_idle() })
    assert.equal(1, woken)
    assert.same({ true, 0 }, { clock:run_until_idle() })
  end))

  it("runs no longer than it may", clocked(function(clock)
    local turns = 0
    local endless = titan.go(function()
      while true do
        titan.sleep "1s"
        turns = turns + 1
      end
    end)
    assert.same({ false, 10500 }, { clock:run_until_idle "10500ms" })
    assert.equal(10, turns)
    endless:cancel()
    assert.is_true((clock:run_until_idle()))
  end))

  it("moves the wall clock along, which can be set", clocked(function(clock)
    local wall = clock:wall()
    clock:advance "1m"
    assert.equal(wall + 60000, core.now_ms())
    local now = clock:now()
    clock:set_wall(1000)
    assert.equal(1000, core.now_ms())
    assert.equal(now, clock:now())
    clock:advance(5)
    assert.equal(1005, clock:wall())
  end))

  it("lets time go on from where it stands when it is closed", function()
    titan.run(function()
      local before, wall = core.monotonic_ms(), core.now_ms()
      local sleeper
      do
        local clock <close> = titan.testing.virtual_clock()
        sleeper = titan.go(titan.sleep, 3600000 + 5)
        clock:advance "1h"
        assert.is_false(sleeper:done())
      end
      sleeper:await()
      local passed = core.monotonic_ms() - before
      assert.is_true(passed >= 3600005 and passed < 7200000, tostring(passed))
      assert.is_true(core.now_ms() - wall < 3600000)
    end)
  end)

  it("says that a program waits for ever which nobody moves on", function()
    local err = expect.error("cancelled", titan.run, function()
      local _ <close> = titan.testing.virtual_clock()
      titan.sleep(1)
    end)
    expect.part("waits for something that can never come", err.message)
    titan.run(titan.sleep, 1)
  end)

  it("is one at a time, and of no use when closed", clocked(function(clock)
    expect.part("there is one already",
      expect.error("invalid_config", titan.testing.virtual_clock).message)
    clock:close()
    expect.error("destroyed", clock.advance, clock, 1)
    local second <close> = titan.testing.virtual_clock()
    assert.is_number(second:now())
  end))

  it("is moved by one task at a time", clocked(function(clock)
    local inner
    titan.go(function()
      titan.sleep(5)
      inner = select(2, pcall(clock.advance, clock, 1))
    end)
    clock:advance(10)
    expect.part("another task is moving", inner.message)
    clock:advance(10)
  end))

  it("refuses times that are none", clocked(function(clock)
    expect.part("advance.duration", expect.error("invalid_config", clock.advance, clock).message)
    expect.part("advance.duration", expect.error("invalid_config", clock.advance, clock,
      -1).message)
    expect.part("run_until_idle.max", expect.error("invalid_config", clock.run_until_idle, clock,
      "soon").message)
    expect.part("set_wall.ms", expect.error("invalid_config", clock.set_wall, clock,
      "today").message)
  end))

  it("ends calls to real workers at their deadlines", managed({
    monitoring = { health_check = { interval = "24h" } },
  }, function(pm)
    local gate = pm:spawn "workers.gate"
    local clock <close> = titan.testing.virtual_clock()
    local call = gate:with({ timeout = "10m" }).async:pass(1)
    clock:advance(600000 - 1)
    assert.is_false(call:done())
    clock:advance(1)
    local err = expect.error("timeout", call.await, call)
    assert.equal("no answer within 600000 ms", err.message)
    assert.is_number(gate:count()) -- the worker still answers, at its own pace
  end))

  it("brings back what has crashed after its delay", managed({
    restart_policy = { delay = "10m", backoff = { jitter = 0 } },
  }, function(pm)
    local worker = pm:spawn("workers.pooled", { name = "phoenix" })
    local clock <close> = titan.testing.virtual_clock()
    expect.error("worker_lost", worker.die, worker)
    local up, finish = tasks.promise()
    pm:on("process:restart", finish)
    clock:advance(600000 - 1)
    assert.equal("crashed", pm:get_process_info("phoenix").status)
    clock:advance(1)
    assert.is_not.equal("crashed", pm:get_process_info("phoenix").status)
    up:await() -- starting it takes real time
    assert.equal("phoenix", worker:who())
  end))
end)
