local expect = require "support.expect"
local resilient = require "support.resilient"
local titan = require "titan"

local function refused(value)
  return expect.error("invalid_config", titan.process, {
    name = "c", methods = { m = { bulkhead = value, function() end } },
  }).message
end

describe("bulkhead", function()
  it("lets so many calls run side by side and refuses one more", resilient(
    function(worker, await_waiting)
      worker:plan("wait", "wait")
      local first, second = worker.async:crowded(1, nil), worker.async:crowded(2)
      await_waiting(2)
      local err = expect.error("overloaded", worker.crowded, worker)
      assert.equal("2 calls run already (bulkhead of resilient.crowded)", err.message)
      assert.same({ max_concurrent = 2, max_queue = 0 }, err.details)
      assert.equal(2, (worker:count()))
      worker:open()
      assert.same({ 1, nil, n = 2 }, table.pack(first:await()))
      assert.equal(2, second:await())
      assert.equal(3, worker:crowded(3))
    end))

  it("has room again however a call ends", resilient(function(worker, await_waiting)
    worker:plan("text", "table", "nothing", "overloaded")
    for _ = 1, 4 do
      pcall(worker.crowded, worker)
    end
    worker:plan("wait", "wait")
    for _ = 1, 2 do
      local future = worker.async:crowded()
      await_waiting(1)
      future:ignore()
      future:cancel()
      await_waiting(0)
    end
    assert.equal("x", worker:crowded "x")
  end))

  it("lets others wait, who go in the order in which they came", resilient(
    function(worker, await_waiting)
      worker:plan "wait"
      local order = {}
      local function call(name)
        return titan.go(function()
          worker:queued(name)
          order[#order + 1] = name
        end)
      end
      local calls = { call "a" }
      await_waiting(1)
      calls[2], calls[3] = call "b", call "c"
      local err = expect.error("overloaded", worker.queued, worker)
      assert.equal("1 calls run already, and 2 wait (bulkhead of resilient.queued)", err.message)
      assert.equal(1, (worker:count()))
      worker:open()
      titan.all(calls)
      assert.same({ "a", "b", "c" }, order)
      assert.equal(3, (worker:count()))
    end))

  it("forgets one who waits no longer", resilient(function(worker, await_waiting)
    worker:plan "wait"
    local first = worker.async:queued "first"
    await_waiting(1)
    local gone, last = worker.async:queued "gone", worker.async:queued "last"
    expect.error("overloaded", worker.queued, worker)
    gone:ignore()
    gone:cancel()
    worker:count()
    local in_its_place = worker.async:queued "in its place"
    expect.error("overloaded", worker.queued, worker)
    worker:open()
    assert.same({ "first", "last", "in its place", n = 3 },
      titan.all { first, last, in_its_place })
    assert.equal(3, (worker:count()))
  end))

  it("does not lose the place of one who is given up while it gets it", resilient(
    function(worker, await_waiting)
      worker:plan("wait", "wait", "wait")
      for _ = 1, 3 do
        local running = worker.async:queued()
        await_waiting(1)
        local waiting = worker.async:queued()
        running:ignore()
        waiting:ignore()
        running:cancel() -- both arrive in one turn
        waiting:cancel()
        await_waiting(0)
      end
      worker:plan()
      assert.equal("x", worker:queued "x")
    end))

  it("lets nobody wait for longer than queue_timeout", resilient(function(worker, await_waiting)
    worker:plan "wait"
    local first = worker.async:queued_shortly "first"
    await_waiting(1)
    assert.equal("1 calls run already, and none ended within 5 ms (bulkhead of "
      .. "resilient.queued_shortly)",
      expect.error("overloaded", worker.queued_shortly, worker).message)
    worker:open()
    assert.equal("first", first:await())
    assert.equal("x", worker:queued_shortly "x")
  end))

  it("is no failure for the circuit breaker around it", resilient(function(worker, await_waiting)
    worker:plan "wait"
    local first = worker.async:crowded_in_breaker()
    await_waiting(1)
    expect.error("overloaded", worker.crowded_in_breaker, worker)
    worker:open()
    first:await()
    assert.equal("x", worker:crowded_in_breaker "x")
  end))

  it("has room again when the timeout inside of it is over", resilient(function(worker)
    worker:plan("wait")
    expect.error("timeout", worker.limited_in_bulkhead, worker)
    assert.equal("x", worker:limited_in_bulkhead "x")
  end))

  it("refuses options that make no sense", function()
    assert.equal("c.methods.m.bulkhead: expected an integer from 1 to 1000000, given number 0",
      refused(0))
    assert.equal("c.methods.m.bulkhead: expected an integer from 1 to 1000000, or a table, given "
      .. "string \"4\"", refused "4")
    assert.equal("c.methods.m.bulkhead.max_concurrent: required; expected an integer from 1 to "
      .. "1000000", refused { max_queue = 3 })
    assert.equal("c.methods.m.bulkhead.max_queue: expected an integer from 0 to 1000000, given "
      .. "number -1", refused { max_concurrent = 1, max_queue = -1 })
    expect.part("c.methods.m.bulkhead.queue_timeout: expected a duration", refused {
      max_concurrent = 1, queue_timeout = false,
    })
  end)
end)
