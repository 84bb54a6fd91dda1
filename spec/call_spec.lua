local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

describe("a method", function()
  it("that is public can be called, with self and by others of its class", managed(function(pm)
    local worker = pm:spawn "workers.visible"
    assert.equal(5, worker:add(2, 3))
    assert.equal(3, worker:count_words "one two three")
  end))

  it("that is private cannot", managed(function(pm)
    local worker = pm:spawn "workers.visible"
    for _, name in ipairs { "split", "secret" } do
      local err = expect.error("not_public", worker[name], worker, "a b")
      assert.equal(name .. " is private; declare it with public = true to call it from outside",
        err.message)
      assert.equal("visible", err.process)
      assert.equal(name, err.method)
    end
  end))

  it("that is missing is named, with what there is", managed(function(pm)
    local worker = pm:spawn "workers.visible"
    local err = expect.error("method_not_found", worker.preposterous, worker)
    assert.equal("there is no method preposterous; it has add, count_words", err.message)
    assert.equal("visible", err.process)
    assert.equal("preposterous", err.method)
    assert.is_false(err.retryable)
    local hidden = pm:spawn "workers.hidden"
    assert.equal("there is no method nothing; it has no public methods",
      expect.error("method_not_found", hidden.nothing, hidden).message)
  end))

  it("that is misspelt is named, with the nearest", managed(function(pm)
    local worker = pm:spawn "workers.visible"
    assert.equal("there is no method ad; did you mean add?",
      expect.error("method_not_found", worker.ad, worker).message)
    assert.equal("there is no method countwords; did you mean count_words?",
      expect.error("method_not_found", worker.countwords, worker).message)
  end))

  it("is called with a colon", managed(function(pm)
    local worker = pm:spawn "workers.visible"
    local why = "titan: call the method with a colon: worker:add(...)"
    expect.complaint(why, worker.add, 2, 3)
    expect.complaint(why, worker.add)
    expect.complaint("call it with a colon: worker.async:add(...)", worker.async.add, 2, 3)
  end))

  it("says where it was called wrongly", managed(function(pm)
    local worker = pm:spawn "workers.visible"
    expect.complaint("call_spec.lua:", function()
      worker.add(2, 3)
    end)
  end))
end)

-- Waits until so many of its calls were cancelled, and there are no more: the worker carries
-- cancels out at the end of its turn.
local function await_given_up(worker, count)
  proc.await(count .. " given up", function()
    return worker:count_given_up() >= count
  end)
  assert.equal(count, worker:count_given_up())
end

describe("the timeout of a call", function()
  it("gives it up on both sides", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    local hasty = worker:with { timeout = "50ms" }
    local err = expect.error("timeout", hasty.pass, hasty)
    assert.equal("no answer within 50 ms", err.message)
    assert.equal("gate", err.process)
    assert.equal("pass", err.method)
    assert.is_true(err.retryable)
    await_given_up(worker, 1)
    assert.equal(0, worker:count())
  end))

  it("is the config's unless somebody says other", managed({ resources = { timeout = 50 } },
    function(pm)
      local hasty = pm:spawn("workers.gate", { name = "hasty" })
      local err = expect.error("timeout", hasty.pass, hasty)
      assert.equal("no answer within 50 ms", err.message)
      await_given_up(hasty, 1)
    end))

  it("may be the spawn's", managed(function(pm)
    local hasty = pm:spawn("workers.gate", { timeout = "60ms" })
    assert.equal("no answer within 60 ms", expect.error("timeout", hasty.pass, hasty).message)
  end))

  -- The call that times out began after the one that must not: when it is over, so is the
  -- time that the other must not have.
  local function outlasts(patient, hasty)
    local waiting = patient.async:pass("patience")
    expect.error("timeout", hasty.pass, hasty)
    patient:open()
    assert.equal("patience", waiting:await())
  end

  it("may be none, by the spawn or the call", managed({ resources = { timeout = 50 } }, function(pm)
    local hasty = pm:spawn("workers.gate", { name = "hasty" })
    outlasts(pm:spawn("workers.gate", { timeout = false }), hasty)
    outlasts(pm:spawn("workers.gate"):with { timeout = false }, hasty)
    outlasts(pm:spawn("workers.gate"):with { timeout = "1h" }, hasty)
    outlasts(pm:spawn("workers.gate", { timeout = "1h" }), hasty)
  end))

  it("may be none, by the config", managed({ resources = { timeout = false } }, function(pm)
    outlasts(pm:spawn "workers.gate", pm:spawn("workers.gate", { timeout = 50 }))
  end))

  it("does not hold for the calls after it", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    local hasty = worker:with { timeout = "50ms" }
    outlasts(worker, hasty)
  end))

  it("leaves the late answer to nobody", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    local hasty = worker:with { timeout = 1 }
    local late, answered = 0, 0
    for _ = 1, 200 do
      local ok, err = pcall(hasty.rest, hasty, 1)
      late, answered = late + (ok and 0 or 1), answered + (ok and 1 or 0)
      assert.is_true(ok or err.code == "timeout", tostring(err))
    end
    assert.equal(200, late + answered)
    assert.equal(0, worker:count())
  end))
end)

describe("many calls at once", function()
  it("get each its own answer", managed(function(pm)
    local worker, futures = pm:spawn "workers.echo", {}
    for i = 1, 1000 do
      futures[i] = titan.go(function()
        assert(worker:echo(i) == i)
        local text, number = worker:echo("text " .. i, i + 0.5)
        assert(text == "text " .. i and number == i + 0.5)
        return i
      end)
    end
    local results = titan.all(futures)
    assert.equal(1000, results.n)
    for i = 1, 1000 do
      assert(results[i] == i)
    end
  end))

  it("may be 10 000, all without an answer yet", managed(function(pm)
    local worker, futures = pm:spawn "workers.gate", {}
    for i = 1, 10000 do
      futures[i] = worker.async:pass(i)
    end
    assert.equal(10000, worker:count())
    assert.equal(10000, pm:get_process_info("gate").activity.in_flight)
    worker:open()
    local results = titan.all(futures)
    for i = 1, 10000 do
      assert(results[i] == i)
    end
    assert.equal(0, worker:count())
  end))

  it("may be given up all at once", managed(function(pm)
    local worker, futures = pm:spawn "workers.gate", {}
    local hasty = worker:with { timeout = "500ms" }
    do
      local clock <close> = titan.testing.virtual_clock()
      for i = 1, 1000 do
        futures[i] = hasty.async:pass(i)
      end
      assert.equal(1000, worker:count()) -- what has not begun is only forgotten
      clock:advance(500)
    end
    for i = 1, 1000 do
      expect.error("timeout", futures[i].await, futures[i])
    end
    await_given_up(worker, 1000)
    assert.equal(0, worker:count())
  end))
end)

describe("limits.outstanding", function()
  it("refuses one more call", managed({ limits = { outstanding = 3 } }, function(pm)
    local worker, futures = pm:spawn "workers.gate", {}
    for i = 1, 3 do
      futures[i] = worker.async:rest("50ms")
    end
    local err = expect.error("overloaded", worker.count, worker)
    assert.equal("3 calls have no answer yet, which is the limit (limits.outstanding)", err.message)
    assert.is_true(err.retryable)
    assert.equal("gate", err.process)
    assert.equal("count", err.method)
    titan.all(futures)
    assert.equal(0, worker:count())
  end))

  it("is counted for each worker", managed({ limits = { outstanding = 1 } }, function(pm)
    local one, other = pm:spawn "workers.gate", pm:spawn "workers.gate"
    local waiting = one.async:rest("50ms")
    expect.error("overloaded", one.count, one)
    assert.equal(0, other:count())
    waiting:await()
  end))
end)

describe("limits.frame", function()
  local small = { limits = { frame = "1KB" } }

  it("refuses arguments that are too large", managed(small, function(pm)
    local worker = pm:spawn "workers.echo"
    local err = expect.error("limit_exceeded", worker.length, worker, ("x"):rep(1025))
    assert.equal("argument 1: a string of 1025 bytes, a message may have 1024 (limits.frame)",
      err.message)
    assert.is_false(err.retryable)
    err = expect.error("limit_exceeded", worker.length, worker, ("x"):rep(600), ("x"):rep(600))
    assert.equal("the message is larger than a frame may be (limits.frame = 1024 bytes)",
      err.message)
    assert.equal(900, worker:length(("x"):rep(900)))
  end))

  it("refuses results that are too large", managed(small, function(pm)
    local worker = pm:spawn "workers.echo"
    local beside = worker.async:echo("beside")
    local err = expect.error("limit_exceeded", worker.letters, worker, 1025)
    assert.equal("result 1: a string of 1025 bytes, a message may have 1024 (limits.frame)",
      err.message)
    assert.equal("letters", err.method)
    err = expect.error("limit_exceeded", worker.numbers, worker, 1000)
    assert.equal("the results are larger than a frame may be (limits.frame = 1024 bytes)",
      err.message)
    assert.equal("beside", beside:await())
    assert.equal(900, #worker:letters(900))
  end))

  it("does not swallow an error that is too large", managed(small, function(pm)
    local worker = pm:spawn "workers.failing"
    local err = expect.error("remote_error", worker.with_length, worker, 2000)
    assert.equal(("x"):rep(512), err.message)
    err = expect.error("rate_limited", worker.with_error, worker, "rate_limited", nil,
      ("x"):rep(900))
    assert.equal("not now", err.message)
    assert.is_nil(err.details)
  end))

  it("is not for what starts a worker", managed(small, function(pm)
    local worker = pm:spawn("workers.echo", { options = { text = ("x"):rep(10000) } })
    assert.equal(1, worker:echo(1))
  end))

  it("may be raised", managed({ limits = { frame = "80MB" } }, function(pm)
    local worker = pm:spawn "workers.echo"
    local length = 70 << 20
    assert.equal(length, worker:length(("x"):rep(length)))
    assert.equal(length, #worker:letters(length))
  end))
end)

describe("a method that calls its own service", function()
  it("is answered while it waits", managed(function(pm)
    local worker = pm:spawn "workers.recursive"
    assert.equal(3628800, worker:factorial(10))
  end))
end)
