local expect = require "support.expect"
local resilient = require "support.resilient"
local titan = require "titan"

describe("timeout", function()
  it("does nothing to a call that is done in time", resilient(function(worker)
    assert.same({ 1, nil, "x", nil, n = 4 }, table.pack(worker:limited_long(1, nil, "x", nil)))
    worker:plan "text"
    expect.part("it broke", expect.error("remote_error", worker.limited_long, worker).message)
  end))

  it("raises where the method waits", resilient(function(worker)
    worker:plan "wait"
    local err = expect.error("timeout", worker.limited, worker)
    assert.equal("not done within 30 ms (timeout of resilient.limited)", err.message)
    assert.same({ timeout = 30 }, err.details)
    assert.is_true(err.retryable)
    expect.part("workers/resilient.lua:", err.traceback)
    assert.same({ 1, 0, 1 }, { worker:count() })
    assert.equal("x", worker:limited "x")
  end))

  it("ends with its method", resilient(function(worker)
    -- What comes after it in the same call has all the time of the call.
    assert.equal("rested", worker:rest_after_limited())
  end))

  it("is one of each attempt", resilient(function(worker)
    worker:plan("wait", "wait")
    expect.error("timeout", worker.retried_limited, worker)
    worker:plan("wait")
    assert.equal("x", worker:retried_limited "x")
    assert.same({ 2, 0, 3 }, { worker:count() })
  end))

  it("refuses what is no duration", function()
    local err = expect.error("invalid_config", titan.process, {
      name = "c", methods = { m = { timeout = 0, function() end } },
    })
    expect.part("c.methods.m.timeout: expected a duration from 1ms", err.message)
  end)
end)
