local core = require "titan.core"
local expect = require "support.expect"
local managed = require "support.managed"
local memory = require "titan.store.memory"
local once = require "support.once"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

-- A store whose values and claims are in a ledger, as the manager has those of its workers.
local function stored(fn, max_entries)
  return managed({}, function(pm)
    fn(memory.new { max_entries = max_entries, ledger = core.ledger_open(pm.handle, "space",
      max_entries) })
  end)
end

local function call(service, method, ...)
  return service.async[method](service.async, ...)
end

describe("a store with a ledger", function()
  it("has values, which are gone when their time is over", stored(function(store)
    assert.is_nil(store:get "k")
    store:put("k", "v\0w")
    assert.equal("v\0w", store:get "k")
    store:put("k", "other", 0)
    assert.is_nil(store:get "k")
    store:put("k", "v", 60000)
    store:remove "k"
    store:remove "k"
    assert.is_nil(store:get "k")
  end))

  it("passes a claim on, and the value to all who wait", stored(function(store)
    assert.equal("mine", store:claim("k", nil, "a", 1))
    assert.is_false(store:is_at_once "k")
    local second = titan.go(store.claim, store, "k", nil, "b", 1)
    local third = titan.go(store.claim, store, "k", nil, "b", 2)
    store:settle("k", "not theirs", nil, "b", 1)
    assert.is_false(second:done())
    store:remove "k"
    store:abandon("k", nil, "a", 1)
    assert.equal("mine", second:await())
    store:settle("k", "v", 60000, "b", 1)
    assert.same({ "done", "v" }, { third:await() })
    assert.same({ "done", "v" }, { store:claim "k" })
    assert.is_true(store:is_at_once "k")
    assert.equal(1, store:count())
  end))

  it("counts claims and limits, and says what it is full of", stored(function(store)
    store:claim "a"
    assert.is_true((store:take("limit", { strategy = "token_bucket", rps = 0.001, burst = 1 })))
    expect.part("claims of calls that run (1) or limits in use (1)",
      expect.error("limit_exceeded", store.claim, store, "b").message)
    store:settle("a", "v")
    assert.equal("mine", store:claim "b")
    assert.is_nil(store:get "a")
    assert.equal(2, store:count())
  end, 2))

  it("forgets everything when it is closed", stored(function(store)
    store:put("v", "v")
    store:claim "k"
    local waits = titan.go(store.claim, store, "k")
    titan.sleep(0)
    store:close()
    expect.error("shutting_down", waits.await, waits)
    assert.equal(0, store:count())
    assert.equal("mine", store:claim "k")
  end))

  it("is the only one of its space", managed({}, function(pm)
    local first = core.ledger_open(pm.handle, "space")
    expect.complaint("there is one of that space", core.ledger_open, pm.handle, "space")
    first:close()
    core.ledger_open(pm.handle, "space")
  end))
end)

describe("a claim that a worker has made in a ledger", function()
  it("is waited for by who claims the key in the manager", once({ size = 2 },
    function(pool, notes)
      local asked = call(pool, "slow_keyed", "k")
      local pid = notes:await("k", 1)
      local with = pool:with { idempotency_key = "k" }
      local given = { call(with, "slow_keyed", "l"), call(with, "slow_keyed", "m") }
      titan.sleep(0)
      notes:say "go"
      local first = { asked:await() }
      assert.equal(pid, first[2])
      for _, future in ipairs(given) do
        assert.same(first, { future:await() })
      end
      assert.same({ 0, 0 }, { notes:runs "l", notes:runs "m" })
    end))

  it("goes to who waits in the manager when the worker is killed", once({ size = 2 },
    function(pool, notes)
      local with = pool:with { idempotency_key = "k" }
      local asked = call(pool, "slow_keyed", "k")
      local pid = notes:await("k", 1)
      local given = call(with, "slow_keyed", "l")
      titan.sleep(0)
      once.kill(pid)
      notes:await("l", 1)
      notes:say "go"
      local results = { given:await() }
      assert.same(results, { asked:await() })
      assert.same({ 1, 1 }, { notes:runs "k", notes:runs "l" })
    end))

  it("ends with the worker when nobody waits", once({ size = 1 }, function(pool, notes)
    local asked = call(pool, "slow_keyed", "k")
    once.kill(notes:await("k", 1))
    local pid = notes:await("k", 2) -- the pool calls again what is idempotent
    notes:say "go"
    assert.equal(pid, select(2, asked:await()))
  end))
end)
