local expect = require "support.expect"
local resilient = require "support.resilient"
local titan = require "titan"

local function refused(options)
  return expect.error("invalid_config", titan.process, {
    name = "c", methods = { m = { retry = options, function() end } },
  }).message
end

describe("retry", function()
  it("does nothing to a call that goes well", resilient(function(worker)
    assert.same({ 1, nil, "x", nil, n = 4 }, table.pack(worker:retried(1, nil, "x", nil)))
    assert.equal("one", worker:retried "one")
    assert.equal(0, select("#", worker:retried()))
    assert.same({ nil, n = 1 }, table.pack(worker:retried(nil)))
    assert.equal(4, (worker:count()))
  end))

  it("calls again with the same arguments, until it goes well", resilient(function(worker)
    worker:plan("text", "table")
    assert.same({ "a", nil, n = 2 }, table.pack(worker:retried("a", nil)))
    assert.equal(3, (worker:count()))
    worker:plan("overloaded", "nothing")
    assert.equal("a", worker:retried "a")
    assert.equal(3, (worker:count()))
  end))

  it("raises the last error, with the number of attempts", resilient(function(worker)
    worker:plan("text", "text", "unready")
    local err = expect.error("remote_error", worker.retried, worker)
    assert.same({ attempts = 3, part = 7 }, err.details)
    assert.equal("not ready", err.message)
    expect.part("workers/resilient.lua:", err.traceback)
    assert.equal(3, (worker:count()))
    worker:plan("text", "timeout")
    assert.same({ attempts = 2 },
      expect.error("timeout", worker.retried_shortly, worker).details)
    assert.equal(2, (worker:count()))
  end))

  it("lets an error that is no error object be what it is", resilient(function(worker)
    worker:plan("text", "text", "table")
    assert.is_true(worker:same_error "retried")
    worker:plan("text", "text", "text")
    local err = expect.error("remote_error", worker.retried, worker)
    assert.is_nil(err.details)
    expect.origin(err)
  end))

  it("does not repeat what would fail again", resilient(function(worker)
    for _, code in ipairs { "validation_failed", "not_public", "invalid_config", "cancelled" } do
      worker:plan(code)
      assert.is_nil(expect.error(code, worker.retried, worker).details)
      assert.equal(1, (worker:count()))
    end
  end))

  it("asks retry_if, but not about cancelled", resilient(function(worker)
    worker:plan("text", "validation_failed")
    assert.equal("x", worker:retried_rarely "x")
    for _, code in ipairs { "overloaded", "cancelled" } do
      worker:plan(code)
      expect.error(code, worker.retried_rarely, worker)
      assert.equal(1, (worker:count()))
    end
    worker:plan "unauthorized"
    expect.part({ "resilient.retried_rarely: retry.retry_if raised: ", "who are you" },
      expect.error("remote_error", worker.retried_rarely, worker).message)
  end))

  it("comes again when the error says, unless that is too late", resilient(function(worker)
    worker:plan "later"
    assert.equal("x", worker:retried "x")
    worker:plan "much_later"
    assert.equal(3600 * 1000,
      expect.error("rate_limited", worker.retried, worker).details.retry_after)
    assert.equal(1, (worker:count()))
  end))

  it("begins no attempt for which there is no time", resilient(function(worker)
    worker:plan "text"
    local hurried = worker:with { timeout = "5s" }
    local err = expect.error("remote_error", hurried.retried_slowly, hurried)
    expect.part("it broke", err.message)
    assert.equal(1, (worker:count()))
  end))

  it("is given up with its caller", resilient(function(worker)
    worker:plan "text"
    local future = worker.async:retried_slowly()
    while worker:count() == 0 do
      titan.sleep(1)
    end
    future:cancel()
    expect.error("cancelled", future.await, future)
    assert.equal("x", worker:retried "x")
    assert.equal(2, (worker:count()))
  end))

  it("counts each attempt in the circuit breaker", resilient(function(worker)
    worker:plan("text", "text", "text", "text", "text")
    -- It is open for longer than any backoff: the fourth attempt is the last.
    local err = expect.error("circuit_open", worker.retried_in_breaker, worker)
    assert.equal(4, err.details.attempts)
    assert.equal(3, (worker:count()))
  end))

  it("refuses options that make no sense", function()
    assert.equal("c.methods.m.retry: expected an integer from 1 to 1000, given number 0",
      refused(0))
    assert.equal("c.methods.m.retry: expected an integer from 1 to 1000, or a table, given "
      .. "boolean true", refused(true))
    assert.equal("c.methods.m.retry.attempts: expected an integer from 1 to 1000, given number 1.5",
      refused { attempts = 1.5 })
    assert.equal('c.methods.m.retry.backoff.type: unknown value "exponental"; did you mean '
      .. '"exponential"?', refused { backoff = { type = "exponental" } })
    expect.part("c.methods.m.retry.delay: ", refused { delay = "1 s" })
    assert.equal("c.methods.m.retry.retry_if: expected a function, given boolean true",
      refused { retry_if = true })
  end)
end)
