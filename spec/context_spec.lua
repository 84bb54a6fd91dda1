local expect = require "support.expect"
local managed = require "support.managed"
local titan = require "titan"

local TRACEPARENT <const> = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

local function between(least, most, value)
  assert.is_true(least <= value and value <= most,
    string.format("%s is not in %d..%d", value, least, most))
end

describe("the deadline of a call", function()
  it("is known to its method", managed(function(pm)
    local worker = pm:spawn "workers.context"
    between(25000, 30000, worker:seen().time_left)
    between(1, 5000, worker:with({ timeout = "5s" }):seen().time_left)
    assert.is_nil(worker:with({ timeout = false }):seen().time_left)
  end))

  it("is that of the calls made inside, unless theirs is sooner", managed(function(pm)
    local outer = pm:spawn("workers.context", { name = "outer" }):with { timeout = "5s" }
    pm:spawn("workers.context", { name = "inner" })
    between(1, 5000, outer:seen_by("inner").time_left)
    between(1, 5000, outer:seen_by_options("inner", { timeout = false }).time_left)
    between(1, 1000, outer:seen_by_options("inner", { timeout = "1s" }).time_left)
  end))

  it("holds in the tasks it begins, and in a pool that it calls", managed(function(pm)
    local outer = pm:spawn("workers.context", { name = "outer" }):with { timeout = "5s" }
    between(1, 5000, outer:seen_inside().time_left)
    pm:create_pool("workers.context", { name = "inner", size = 1 })
    between(1, 5000, outer:seen_by("inner").time_left)
    pm:stop_all(0)
  end))

  it("is shortened by titan.timeout, in a worker and in a program", managed(function(pm)
    local worker = pm:spawn "workers.context"
    between(1, 3000, worker:seen_within("3s").time_left)
    between(1, 2000, titan.timeout("2s", function()
      return worker:seen().time_left
    end))
    between(2001, 30000, worker:seen().time_left)
  end))

  it("binds what the method leaves running only until it has returned", managed(function(pm)
    local worker = pm:spawn "workers.context"
    worker:with({ timeout = "5s" }):leave()
    local times = worker:let_go()
    between(1, 5000, times.before)
    assert.is_nil(times.after)
  end))

  it("counts from the beginning for one that waits for a worker of a pool", managed(function(pm)
    local pool = pm:create_pool("workers.context", { size = 1, max_concurrency = 1 })
    local busy = pool.async:sleep "50ms"
    local waiting = pool:with({ timeout = "5s" }).async:seen()
    busy:await()
    between(1, 4999, waiting:await().time_left)
    pm:stop_all(0)
  end))

  it("has passed for whoever calls after it", managed(function(pm)
    local worker = pm:spawn "workers.context"
    local err = expect.error("timeout", titan.timeout, "0ms", function()
      return worker:seen()
    end)
    assert.equal("no time is left of the call that this one is part of", err.message)
  end))

  it("cancels the calls made inside, however deep, and unwinds them", managed(function(pm)
    local outer = pm:spawn("workers.context", { name = "outer" })
    local inner = pm:spawn("workers.context", { name = "inner" })
    local future = outer.async:sleep_at("inner", "10s")
    expect.error("timeout", outer:with { timeout = "50ms" }.sleep_at,
      outer:with { timeout = "50ms" }, "inner", "10s")
    outer:was_unwound() -- cancels are carried out at the end of a worker's turn
    local unwound = outer:was_unwound()
    assert.is_true(unwound == "cancelled" or unwound == "timeout", unwound)
    inner:seen()
    inner:seen()
    assert.equal(1, pm:get_process_info(inner:__id()).activity.in_flight) -- the first one's
    future:cancel()
    expect.error("cancelled", future.await, future)
    outer:was_unwound()
    assert.equal("cancelled", outer:was_unwound())
  end))

  it("may be left behind", managed(function(pm)
    assert.is_true(pm:spawn("workers.context"):detached())
  end))
end)

describe("a limit of time", function()
  it("raises its error where the task waits", managed(function(pm)
    local worker = pm:spawn "workers.context"
    assert.equal("too slow", expect.error("remote_error", worker.limited, worker, 20, "too slow")
      .message)
  end))

  it("ends the call it waits for, whose own deadline is the same, with that error",
    managed(function(pm)
      local worker = pm:spawn("workers.context", { name = "outer" })
      pm:spawn("workers.context", { name = "inner" })
      for _ = 1, 10 do
        assert.equal("the limit", expect.error("remote_error", worker.limited_call, worker, 5,
          "inner").message)
      end
    end))

  it("is gone when it is closed", managed(function(pm)
    local worker = pm:spawn("workers.context"):with { timeout = false }
    local lefts = worker:limit_nested()
    between(1, 50, lefts[1])
    between(51, 5000, lefts[2])
    assert.is_nil(lefts[3])
  end))
end)

describe("what goes along with a call", function()
  it("is for its method alone", managed(function(pm)
    local worker = pm:spawn("workers.context", { name = "outer" })
    pm:spawn("workers.context", { name = "inner" })
    local with = worker:with { headers = { tenant = "a\0b" }, idempotency_key = "k1" }
    local seen = with:seen()
    assert.same({ tenant = "a\0b" }, seen.headers)
    assert.equal("k1", seen.idempotency_key)
    assert.same({ tenant = "a\0b" }, with:seen_inside().headers)
    local inner = with:seen_by "inner"
    assert.same({}, inner.headers)
    assert.is_nil(inner.idempotency_key)
    assert.same({}, worker:seen().headers)
  end))

  it("goes through pools and from worker to worker", managed(function(pm)
    local pool = pm:create_pool("workers.context", { name = "pool", size = 1 })
    assert.same({ a = "1" }, pool:with({ headers = { a = "1" } }):seen().headers)
    local worker = pm:spawn("workers.context", { name = "outer" })
    local seen = worker:seen_by_options("pool", { headers = { b = "2" }, idempotency_key = "k" })
    assert.same({ b = "2" }, seen.headers)
    assert.equal("k", seen.idempotency_key)
    pm:stop_all(0)
  end))

  it("waits in the queue of a pool with it", managed(function(pm)
    pm:create_pool("workers.context", { name = "pool", size = 1, max_concurrency = 1 })
    local worker = pm:spawn("workers.context", { name = "outer" })
    local busy = worker.async:sleep_at("pool", "30ms")
    local seen = worker:seen_by_options("pool", { headers = { b = "2" } })
    assert.same({ b = "2" }, seen.headers)
    busy:await()
    pm:stop_all(0)
  end))

  it("adds up over `with`", managed(function(pm)
    local worker = pm:spawn "workers.context"
    local seen = worker:with({ idempotency_key = "k" }):with({ headers = { a = "1" } }):seen()
    assert.same({ a = "1" }, seen.headers)
    assert.equal("k", seen.idempotency_key)
  end))

  it("is the key alone of a proxy with nothing else", managed(function(pm)
    local worker = pm:spawn("workers.context", { timeout = "5s" })
    local pool = pm:create_pool("workers.context", { name = "pool", size = 1 })
    for _, service in ipairs { worker, worker:with { timeout = false }, pool } do
      local one = service:with { idempotency_key = "1" }
      local two = service:with { idempotency_key = "2" }
      local seen = one:seen()
      assert.equal("1", seen.idempotency_key)
      assert.same({}, seen.headers)
      assert.equal("2", two:seen().idempotency_key)
      assert.equal("2", one.seen(two).idempotency_key)
      assert.equal("1", one.async:seen():await().idempotency_key)
      assert.equal("2", one:with({ idempotency_key = "2" }):seen().idempotency_key)
      assert.equal("1", one:with({ timeout = "1s" }):seen().idempotency_key)
      assert.is_nil(service:seen().idempotency_key)
    end
    assert.equal("1", pool:with({ idempotency_key = "1" }):invoke("seen").idempotency_key)
    pm:stop_all(0)
  end))

  it("is passed on if it is a trace", managed(function(pm)
    local worker = pm:spawn("workers.context", { name = "outer" })
    pm:spawn("workers.context", { name = "inner" })
    pm:create_pool("workers.context", { name = "pool", size = 1 })
    local with = worker:with { headers = { traceparent = TRACEPARENT, tracestate = "a=b" } }
    for _, name in ipairs { "inner", "pool" } do
      local seen = with:seen_by(name)
      assert.equal(TRACEPARENT, seen.traceparent)
      assert.equal("a=b", seen.tracestate)
      assert.same({}, seen.headers)
    end
    assert.is_nil(worker:seen_by("inner").traceparent)
    pm:stop_all(0)
  end))

  it("is refused when it is no string, or nothing", managed(function(pm)
    local worker = pm:spawn "workers.context"
    assert.equal("with.headers.a: expected a string, given number 1",
      expect.error("invalid_config", worker.with, worker, { headers = { a = 1 } }).message)
    assert.truthy(expect.error("invalid_config", worker.with, worker, { idempotency_key = "" })
      .message:find("with.idempotency_key", 1, true))
  end))
end)

describe("the manager's own services", function()
  it("are named when they are not there", managed(function(pm)
    local worker = pm:spawn "workers.context"
    assert.equal("the manager has no nothing in :none",
      expect.error("method_not_found", worker.ask_the_manager, worker, ":none").message)
  end))
end)
