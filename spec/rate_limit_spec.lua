local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

local function with_worker(fn)
  return managed(function(pm)
    fn(pm:spawn "workers.limited", pm)
  end)
end

local function refusal(limit)
  return expect.error("invalid_config", titan.process, {
    name = "c", methods = { m = { rate_limit = limit, function() end } },
  }).message
end

-- How many of `calls` calls are let through; the others must be refused by the limit.
local function let_through(calls, call)
  local count = 0
  for _ = 1, calls do
    local ok, err = pcall(call)
    assert.is_true(ok or titan.is_error(err) and err.code == "rate_limited", tostring(err))
    count = count + (ok and 1 or 0)
  end
  return count
end

describe("a method with a rate limit", function()
  it("lets no more through, and says when it will", with_worker(function(worker)
    for i = 1, 3 do
      assert.equal(i, worker:alone(i))
    end
    local err = expect.error("rate_limited", worker.alone, worker)
    expect.part({ "more than 0.01 calls a second, with bursts of 3, to this method; ",
      "the next may come in " }, err.message)
    assert.truthy(err.details.retry_after > 90000 and err.details.retry_after <= 100000)
    assert.equal("integer", math.type(err.details.retry_after))
    assert.equal("alone", err.method)
    assert.equal("limited", err.process)
    assert.is_true(err.retryable)
    assert.equal(3, worker:ran())
    expect.error("rate_limited", worker.indirectly, worker)
    assert.equal(2, worker:sliding(1) + worker:sliding(1))
    expect.error("rate_limited", worker.sliding, worker)
  end))

  it("lets more through after a time", with_worker(function(worker)
    assert.equal(1, worker:quick(1))
    proc.await("a token", function()
      return (pcall(worker.quick, worker))
    end)
  end))

  it("has a burst of rps rounded up, unless told", with_worker(function(worker)
    assert.equal(2, let_through(4, function()
      worker:fixed()
    end))
  end))

  it("has a limit for each key", with_worker(function(worker)
    for _, user in ipairs { "ann", "bob", 7 } do
      assert.equal(user, worker:users(user))
      expect.part("with the same key",
        expect.error("rate_limited", worker.users, worker, user).message)
    end
    assert.equal("limited.broken_key: rate_limit.key_fn returned nil; it must return a string or "
      .. "a number", expect.error("remote_error", worker.broken_key, worker).message)
  end))
end)

describe("a rate limit in the manager", function()
  local function with_pool(fn)
    return managed({ restart_policy = { delay = 1, backoff = { initial = 1, max = 5 } } },
      function(pm)
        local ok, err = pcall(fn, pm:create_pool("workers.limited", { name = "limited", size = 3 }))
        pm:stop_all(0)
        if not ok then
          error(err, 0)
        end
      end)
  end

  it("holds for all workers of a pool together", with_pool(function(pool)
    assert.equal(6, let_through(20, function()
      pool:shared()
    end))
    local err = expect.error("rate_limited", pool.shared, pool)
    assert.truthy(err.details.retry_after > 90000 and err.details.retry_after <= 100000)
  end))

  it("holds for calls at the same time, and for each key", with_pool(function(pool)
    local calls, passed = {}, {}
    for i = 1, 30 do
      calls[i] = pool.async:shared_users("user " .. i % 3)
    end
    for _, call in ipairs(calls) do
      local ok, user = pcall(call.await, call)
      if ok then
        passed[user] = (passed[user] or 0) + 1
      end
    end
    assert.same({ ["user 0"] = 2, ["user 1"] = 2, ["user 2"] = 2 }, passed)
  end))

  it("outlives a worker", with_pool(function(pool)
    assert.equal(6, let_through(6, function()
      pool:shared()
    end))
    expect.error("worker_lost", pool.die, pool)
    for _ = 1, 6 do
      expect.error("rate_limited", pool.shared, pool)
    end
  end))

  it("is another for another service", managed(function(pm)
    for _, name in ipairs { "one", "two" } do
      local worker = pm:spawn("workers.limited", { name = name })
      assert.equal(6, let_through(8, function()
        worker:shared()
      end))
    end
  end))
end)

describe("the options of rate_limit", function()
  it("are checked", function()
    assert.equal("c.methods.m.rate_limit.rps: required; expected a number of calls a second above "
      .. "0", refusal {})
    assert.equal("c.methods.m.rate_limit.rps: expected a number of calls a second above 0, given "
      .. "number 0", refusal { rps = 0 })
    expect.part("rps: expected a number of calls a second above 0", refusal { rps = "10" })
    expect.part("rps: expected a number of calls a second above 0", refusal { rps = 0 / 0 })
    expect.part("c.methods.m.rate_limit.burst: expected an integer from 1", refusal {
      rps = 1, burst = 0,
    })
    expect.part('unknown value "leaky"; allowed: "token_bucket", "sliding_window" or '
      .. '"fixed_window"', refusal { rps = 1, strategy = "leaky" })
    expect.part("c.methods.m.rate_limit.key_fn: expected a function", refusal {
      rps = 1, key_fn = "user",
    })
    expect.part("c.methods.m.rate_limit.store: the redis store is not built", refusal {
      rps = 1, store = "redis",
    })
    expect.part("c.methods.m.rate_limit.store: durable limits are not built", refusal {
      rps = 1, store = "sqlite",
    })
    assert.equal('c.methods.m.rate_limit.rsp: unknown key; did you mean "rps"?',
      refusal { rsp = 1 })
  end)
end)
