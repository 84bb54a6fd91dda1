local expect = require "support.expect"
local resilient = require "support.resilient"
local titan = require "titan"

local function refused(value)
  return expect.error("invalid_config", titan.process, {
    name = "c", methods = { m = { fallback = value, function() end } },
  }).message
end

describe("fallback", function()
  it("does nothing to a call that goes well", resilient(function(worker)
    assert.same({ 1, nil, "x", nil, n = 4 }, table.pack(worker:caught(1, nil, "x", nil)))
    assert.equal("one", worker:caught "one")
    assert.equal(0, select("#", worker:caught()))
  end))

  it("answers instead of the method when that raises", resilient(function(worker)
    worker:plan("text", "overloaded", "nothing")
    local results = table.pack(worker:caught("a", nil))
    expect.part("it broke", results[3])
    results[3] = ""
    assert.same({ "instead", "remote_error", "", "a", nil, n = 5 }, results)
    assert.same({ "instead", "overloaded", "as planned" }, { worker:caught() })
    assert.same({ "instead", "remote_error", "the method raised a value: nil" },
      { worker:caught() })
  end))

  it("is not for mistakes of the caller, nor for one that no longer waits", resilient(
    function(worker, await_waiting)
      worker:plan("validation_failed", "cancelled", "wait")
      expect.error("validation_failed", worker.caught, worker)
      expect.error("cancelled", worker.caught, worker)
      local future = worker.async:caught()
      await_waiting(1)
      future:cancel()
      expect.error("cancelled", future.await, future)
      await_waiting(0)
      assert.same({ 3, 0, 1 }, { worker:count() })
    end))

  it("is for the codes of on alone", resilient(function(worker)
    worker:plan("overloaded", "validation_failed", "timeout", "text")
    assert.equal("instead", (worker:caught_some()))
    assert.equal("instead", (worker:caught_some()))
    expect.error("timeout", worker.caught_some, worker)
    local err = expect.error("remote_error", worker.caught_some, worker)
    expect.origin(err)
  end))

  it("asks on, if that is a function", resilient(function(worker)
    worker:plan("text", "timeout", "unauthorized", "cancelled")
    assert.equal("instead", (worker:caught_if()))
    expect.error("timeout", worker.caught_if, worker)
    expect.part({ "resilient.caught_if: fallback.on raised: ", "who are you" },
      expect.error("remote_error", worker.caught_if, worker).message)
    expect.error("cancelled", worker.caught_if, worker)
  end))

  it("that raises says what it was called for", resilient(function(worker)
    worker:plan("text", "timeout")
    local err = expect.error("remote_error", worker.caught_badly, worker)
    expect.part({ ": worse\n(raised by the fallback of resilient.caught_badly, which was called "
      .. "for remote_error: ", "it broke)" }, err.message)
    assert.equal("remote_error", err.details.cause.code)
    expect.part("it broke", err.details.cause.message)
    expect.part("workers/resilient.lua:", err.traceback)
    err = expect.error("overloaded", worker.caught_coded, worker)
    assert.same({ queue = 3, cause = { code = "timeout", message = "as planned" } }, err.details)
    assert.is_false(err.retryable)
  end))

  it("may raise the error again, as it was", resilient(function(worker)
    worker:plan("text", "unready")
    local err = expect.error("remote_error", worker.caught_and_raised, worker)
    expect.part("it broke", err.message)
    expect.origin(err)
    err = expect.error("remote_error", worker.caught_and_raised, worker)
    assert.same({ part = 7 }, err.details)
    assert.equal("not ready", err.message)
  end))

  it("lets an error that it is not for be what it is", resilient(function(worker)
    worker:plan("table", "text")
    assert.is_true(worker:same_error "caught_some")
    assert.same({ false, "string" }, { worker:same_error "caught_some" })
  end))

  it("is around the circuit breaker, which is around the timeout", resilient(
    function(worker)
      worker:plan("wait", "wait", "wait")
      assert.same({ "instead", "timeout",
        "not done within 30 ms (timeout of resilient.all_of_it)", "x" }, { worker:all_of_it "x" })
      assert.same({ 2, 0, 2 }, { worker:count() })
      local results = { worker:all_of_it() }
      assert.same({ "instead", "circuit_open" }, { results[1], results[2] })
      assert.same({ 3, 0, 3 }, { worker:count() })
    end))

  it("refuses what makes no sense", function()
    assert.equal("c.methods.m.fallback: expected a function, or a table with the function at [1], "
      .. "given string \"x\"", refused "x")
    assert.equal("c.methods.m.fallback[1]: required; expected a function",
      refused { on = { "timeout" } })
    assert.equal('c.methods.m.fallback.on[1]: unknown value "timout"; did you mean "timeout"?',
      refused { print, on = { "timout" } })
    assert.equal("c.methods.m.fallback.on[2]: cancelled is never caught, since the caller no "
      .. "longer waits", refused { print, on = { "timeout", "cancelled" } })
    expect.part("c.methods.m.fallback.on: expected a list", refused { print, on = {} })
    expect.part("c.methods.m.fallback.on: expected a list of error codes, or a function",
      refused { print, on = 5 })
  end)
end)
