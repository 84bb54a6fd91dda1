local expect = require "support.expect"
local managed = require "support.managed"
local resilient = require "support.resilient"
local restarts = require "support.restarts"
local tasks = require "titan.tasks"
local titan = require "titan"

local function refused(options)
  return expect.error("invalid_config", titan.process, {
    name = "c", methods = { m = { circuit_breaker = options, function() end } },
  }).message
end

describe("circuit_breaker", function()
  it("lets calls through while it is closed, as they are", resilient(function(worker)
    local results = table.pack(worker:broken(1, nil, "x", nil))
    assert.same({ 1, nil, "x", nil, n = 4 }, results)
    assert.equal(0, select("#", worker:broken()))
  end))

  it("opens after so many failures in a row", resilient(function(worker)
    worker:plan("text", "well", "table", "timeout")
    assert.same({ "remote_error", "", "remote_error", "timeout", "circuit_open", "circuit_open" },
      worker:burst("broken", 6))
    assert.equal(4, (worker:count()))
    local err = expect.error("circuit_open", worker.broken, worker)
    expect.part({ "try again in ", " ms (circuit_breaker of resilient.broken)" }, err.message)
    assert.is_true(err.retryable)
    assert.is_true(err.details.retry_after > 0 and err.details.retry_after <= 3600 * 1000)
    assert.equal("", worker:burst("judged", 1)[1]) -- which has its own
  end))

  it("does not count what says nothing about the method", resilient(function(worker)
    worker:plan("validation_failed", "rate_limited", "overloaded", "circuit_open")
    assert.same({ "validation_failed", "rate_limited", "overloaded", "circuit_open", "" },
      worker:burst("excused", 5))
    worker:plan("text", "overloaded", "text")
    assert.same({ "remote_error", "overloaded", "remote_error", "circuit_open" },
      worker:burst("broken", 4))
  end))

  it("counts an error that is nil", resilient(function(worker)
    worker:plan("nothing", "nothing")
    assert.same({ "remote_error", "remote_error" }, {
      expect.error("remote_error", worker.broken, worker).code,
      expect.error("remote_error", worker.broken, worker).code,
    })
    expect.error("circuit_open", worker.broken, worker)
  end))

  it("closes after a probe that goes well", resilient(function(worker)
    worker:plan("text", "text")
    worker:burst("healing", 2)
    titan.sleep(2)
    worker:plan("well", "text", "well")
    assert.same({ "", "remote_error", "" }, worker:burst("healing", 3))
  end))

  it("opens again after a probe that fails", resilient(function(worker)
    worker:plan("text", "text")
    worker:burst("relapsing", 2)
    titan.sleep(150)
    worker:plan "text"
    assert.same({ "remote_error", "circuit_open" }, worker:burst("relapsing", 2))
  end))

  it("lets no more probes through than it may", resilient(function(worker, await_waiting)
    worker:plan("text", "wait", "wait")
    worker:burst("probed", 1)
    titan.sleep(2)
    local first, second = worker.async:probed "first", worker.async:probed "second"
    await_waiting(2)
    local err = expect.error("circuit_open", worker.probed, worker)
    expect.part("the first calls since are still under way (circuit_breaker of resilient.probed)",
      err.message)
    assert.is_nil(err.details.retry_after)
    worker:open()
    assert.equal("first", first:await())
    assert.equal("second", second:await())
    assert.same({ "", "" }, worker:burst("probed", 2))
  end))

  it("has room for another probe when one is cancelled", resilient(function(worker, await_waiting)
    worker:plan("text", "wait", "wait")
    worker:burst("probed", 1)
    titan.sleep(2)
    local given_up, kept = worker.async:probed(), worker.async:probed "kept"
    await_waiting(2)
    given_up:cancel()
    given_up:ignore()
    await_waiting(1)
    assert.equal("in its place", worker:probed "in its place")
    worker:open()
    assert.equal("kept", kept:await())
    assert.same({ "", "" }, worker:burst("probed", 2))
  end))

  it("gives a refused call what its fallback returns", resilient(function(worker)
    worker:plan "text"
    expect.error("remote_error", worker.excused, worker)
    local results = table.pack(worker:excused("a", nil, nil))
    expect.part("it failed too often", results[3])
    results[3] = ""
    assert.same({ "instead", "circuit_open", "", "a", nil, nil, n = 6 }, results)
    assert.equal(1, (worker:count()))
  end))

  it("asks is_failure what counts", resilient(function(worker)
    worker:plan("timeout", "table", "validation_failed", "text")
    assert.same({ "timeout", "remote_error", "validation_failed", "remote_error", "circuit_open" },
      worker:burst("judged", 5))
  end))

  it("may count a refusal, if is_failure says so", resilient(function(worker)
    worker:plan("overloaded")
    assert.same({ "overloaded", "circuit_open" }, worker:burst("judged", 2))
  end))

  it("says so when is_failure raises", resilient(function(worker)
    worker:plan "unauthorized"
    local err = expect.error("remote_error", worker.judged, worker)
    expect.part({ "resilient.judged: circuit_breaker.is_failure raised: ", "who are you" },
      err.message)
    assert.equal("x", worker:judged "x")
  end))

  it("lets an error be what it is", resilient(function(worker)
    worker:plan("table", "text")
    assert.is_true(worker:same_error "healing")
    local err = expect.error("remote_error", worker.healing, worker)
    expect.origin(err)
  end))

  it("begins closed in a new life", managed({ restart_policy = restarts.soon() }, function(pm)
    local worker = pm:spawn "workers.resilient"
    worker:plan("text", "text")
    worker:burst("broken", 2)
    expect.error("circuit_open", worker.broken, worker)
    local back, tell = tasks.promise()
    pm:on("process:ready", function()
      tell(true)
    end)
    pm:kill(worker:__id())
    back:await()
    assert.equal("x", worker:broken "x")
  end))

  it("refuses options that make no sense", function()
    assert.equal("c.methods.m.circuit_breaker: expected a table, given number 5", refused(5))
    assert.equal("c.methods.m.circuit_breaker.failure_threshold: expected an integer from 1 to "
      .. "1000000, given number 0", refused { failure_threshold = 0 })
    expect.part("c.methods.m.circuit_breaker.timeout: expected a duration", refused {
      timeout = 0,
    })
    assert.equal('c.methods.m.circuit_breaker.is_falure: unknown key; did you mean "is_failure"?',
      refused { is_falure = print })
    assert.equal("c.methods.m.circuit_breaker.fallback: expected a function, given number 3",
      refused { fallback = 3 })
  end)
end)
