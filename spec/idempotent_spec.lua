local expect = require "support.expect"
local once = require "support.once"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local function refusal(idempotent)
  return expect.error("invalid_config", titan.process, {
    name = "c", methods = { m = { idempotent = idempotent, function() end } },
  }).message
end

-- Calls it so many times at once, lets it go on, and gives what all of them got.
local function results_of(count, notes, what, call)
  local calls = {}
  for i = 1, count do
    calls[i] = titan.go(function()
      return table.pack(call())
    end)
  end
  notes:await(what, 1)
  notes:say "go"
  return titan.all(calls)
end

describe("a method that is idempotent by key", function()
  it("runs once for the same arguments, over the whole pool", once({ size = 3 },
    function(pool, notes)
      local first = { pool:default("a", { x = 1, y = { 2 } }) }
      for _ = 1, 8 do
        assert.same(first, { pool:default("a", { y = { 2 }, x = 1 }) })
      end
      assert.equal(1, notes:runs "a")
      pool:default("a", { x = 1, y = { 3 } })
      pool:default("a", { x = 1.0, y = { 2 } })
      pool:default "a"
      pool:default("a", nil)
      assert.equal(5, notes:runs "a")
    end))

  it("runs once for 100 calls at once", once({ size = 3 }, function(pool, notes)
    for _, method in ipairs { "slow", "slow_keyed", "slow_durable" } do
      local results = results_of(100, notes, method, function()
        return pool[method](pool, method)
      end)
      for i = 2, 100 do
        assert.same(results[1], results[i])
      end
      assert.same({ results[1][2] }, notes:pids(method))
    end
  end))

  it("has the key that the caller gives, else that of key_fn", once({ size = 2 },
    function(pool)
      local function call(key, method, ...)
        local with = pool:with { idempotency_key = key }
        return { with[method](with, ...) }
      end
      for _, method in ipairs { "default", "keyed", "durable", "durable_keyed" } do
        local first = call(method, method, { id = "x" })
        assert.same({ id = "x" }, first[3])
        assert.same(first, call(method, method, { id = "y" }))
        assert.is_not_same(first, call("other", method, { id = "x" }))
      end
      local one = { pool:keyed { id = 7, more = 1 } }
      assert.same(one, { pool:keyed { id = 7, more = 2 } })
      assert.same(one, call("7", "keyed", { id = 8 })) -- a key is a key, whoever says it
      assert.is_not_same(one, { pool:keyed { id = 8 } })
      expect.part("call the method with a colon", select(2, pcall(pool.default, {}, "a")))
      local with = pool:with { idempotency_key = "key" }
      expect.part("call the method with a colon", select(2, pcall(with.default, pool, "a")))
    end))

  it("is run by nobody when key_fn raises or has no key", once({ size = 1 },
    function(pool, notes)
      assert.equal("once.bad_key: idempotent.key_fn returned nil; it must return a string or a "
        .. "number", expect.error("remote_error", pool.bad_key, pool, "k").message)
      expect.part({ "once.raising_key: idempotent.key_fn raised: ", "no key" },
        expect.error("remote_error", pool.raising_key, pool, "k").message)
      assert.equal(0, notes:runs "k")
      pool:with({ idempotency_key = "given" }):bad_key "k"
      assert.equal(1, notes:runs "k")
      expect.part("argument 1: a function cannot travel",
        expect.error("validation_failed", pool.default, pool, print).message)
    end))

  it("forgets when the time to live is over", once({ size = 2 }, function(pool, notes)
    for _, method in ipairs { "short", "short_keyed", "short_durable", "short_own" } do
      pool[method](pool, method)
      proc.await("another run", function()
        pool[method](pool, method)
        return notes:runs(method) >= 2
      end)
    end
  end))

  it("does not remember an error: the next one that waits runs it", once({ size = 2 },
    function(pool, notes)
      for _, method in ipairs { "fails", "fails_keyed", "fails_durable", "fails_own" } do
        local calls = {}
        for i = 1, 5 do
          calls[i] = pool.async[method](pool.async, method)
        end
        for i = 1, 5 do
          expect.part("failed", expect.error("remote_error", calls[i].await, calls[i]).message)
        end
        assert.equal(5, notes:runs(method))
      end
    end))

  it("gives every result again, nil and the last ones too", once({ size = 2 },
    function(pool, notes)
      for _, method in ipairs { "nils", "nils_keyed", "nils_durable" } do
        local first = table.pack(pool[method](pool))
        assert.equal(4, first.n)
        assert.truthy(first[2])
        for _ = 1, 3 do
          assert.same(first, table.pack(pool[method](pool)))
        end
      end
      assert.equal(3, notes:runs "nils")
    end))

  it("remembers results as deep as they may be, and refuses what cannot travel", once.manager(
    function(notes, pm)
      local pool = once.pool(pm, notes, { size = 1 })
      for _, method in ipairs { "deep", "deep_keyed" } do
        local first = pool[method](pool, method, 198)
        assert.same(first, pool[method](pool, method, 198))
        assert.equal(1, notes:runs(method))
      end
      for i = 1, 2 do
        expect.part("result 1: a function cannot travel",
          expect.error("validation_failed", pool.untravelling, pool, "u").message)
        assert.equal(i, notes:runs "u")
      end
    end, { limits = { nesting = 200 } }))

  it("does not share its keys with another service or method", once.manager(
    function(notes, pm)
      local pools = {
        once.pool(pm, notes, { name = "one", size = 1 }),
        once.pool(pm, notes, { name = "two", size = 1 }),
        pm:spawn("workers.once", once.options(notes, { name = "three" })),
      }
      for i, service in ipairs(pools) do
        for _ = 1, 2 do
          service:with({ idempotency_key = "k" }):default "k"
          service:with({ idempotency_key = "k" }):durable "k"
          service:with({ idempotency_key = "k" }):keyed { id = "k" }
        end
        assert.equal(2 * i, notes:runs "k")
      end
    end))

  it("in memory runs once in each worker", once({ size = 1 }, function(pool, notes)
    local first = { pool:own "a" }
    assert.same(first, { pool:own "a" })
    assert.same({ 2 }, { (pool:with({ idempotency_key = "k" }):own "b") })
    assert.same({ 2 }, { (pool:with({ idempotency_key = "k" }):own "c") })
    assert.equal(1, notes:runs "a")
    assert.equal(0, notes:runs "c")
    pool:reload()
    pool:own "a"
    assert.equal(2, notes:runs "a")
  end))

  it("is remembered over a reload of its pool", once({ size = 2 }, function(pool, notes)
    for _, method in ipairs { "default", "slow_keyed", "durable" } do
      notes:say "go"
      local first = { pool[method](pool, method) }
      pool:reload()
      assert.same(first, { pool[method](pool, method) })
      assert.equal(1, notes:runs(method))
    end
  end))

  it("has the keys of the class as it is after a reload", once.manager(function(notes, pm)
    local CLASS <const> = [[
      local runs = 0
      return require("titan").process { name = "shop", all_methods_public = true, methods = {
        buy = { idempotent = %s, function()
          runs = runs + 1
          return runs
        end },
      } }
    ]]
    local path = notes.directory .. "/shop.lua"
    local function write(idempotent)
      local file <close> = assert(io.open(path, "w"))
      file:write(CLASS:format(idempotent))
    end
    write "{}"
    local pool = pm:create_pool(path, { size = 1 })
    assert.same({ 1, 2 }, { pool:buy("a", 1), pool:buy("a", 2) })
    write "{ key_fn = function(id) return id end }"
    pool:reload()
    assert.same({ 1, 1, 2 }, { pool:buy("b", 1), pool:buy("b", 2), pool:buy("c", 1) })
  end))

  it("keeps nobody longer than the deadline", once({ size = 2 }, function(pool, notes)
    for _, method in ipairs { "slow", "slow_keyed", "slow_durable" } do
      local first = pool.async[method](pool.async, method)
      notes:await(method, 1)
      expect.error("timeout", function()
        local hurried = pool:with { timeout = 20 }
        hurried[method](hurried, method)
      end)
      notes:say "go"
      assert.equal(select(2, first:await()), notes:pids(method)[1])
      assert.equal(1, notes:runs(method))
      os.remove(notes.path .. ".go")
    end
  end))

  it("is run by the next when its caller gives up", once({ size = 2 }, function(pool, notes)
    for _, method in ipairs { "slow", "slow_keyed", "slow_durable" } do
      local first = pool.async[method](pool.async, method)
      notes:await(method, 1)
      local others = {}
      for i = 1, 2 do
        others[i] = pool.async[method](pool.async, method)
      end
      first:cancel()
      local pid = notes:await(method, 2)
      notes:say "go"
      for _, other in ipairs(others) do
        assert.equal(pid, select(2, other:await()))
      end
      assert.equal(2, notes:runs(method))
      os.remove(notes.path .. ".go")
    end
  end))
end)

describe("a method that is idempotent by key, called by a worker", function()
  it("has the keys that it has for the manager", once.manager(function(notes, pm)
    local pool = once.pool(pm, notes, { name = "shop" })
    local other = pm:spawn("workers.once", once.options(notes, { name = "other" }))
    local argument = { 1, 2.0, { "x", y = -0.0, [7] = true }, n = 3 }
    for _, method in ipairs { "default", "durable" } do
      local first = { pool[method](pool, method, argument, nil) }
      assert.same(first, { other:calls_service("shop", method, nil, method, argument, nil) })
      first = { other:calls_service("shop", method, "key", method, 1) }
      local keyed = pool:with { idempotency_key = "key" }
      assert.same(first, { keyed[method](keyed, method, 2) })
      assert.equal(2, notes:runs(method))
    end
    local first = { other:calls_service("shop", "keyed", nil, { id = "a" }) }
    assert.same(first, { pool:keyed { id = "a" } })
  end))

  it("runs once for calls from everywhere at once", once.manager(function(notes, pm)
    local pool = once.pool(pm, notes, { name = "shop", size = 3 })
    local other = pm:spawn("workers.once", once.options(notes, { name = "other" }))
    local turn = 0
    local results = results_of(40, notes, "x", function()
      turn = turn + 1
      if turn % 2 == 0 then
        return other:calls_service("shop", "slow", nil, "x")
      end
      return pool:slow "x"
    end)
    for i = 2, 40 do
      assert.same(results[1], results[i])
    end
    assert.equal(1, notes:runs "x")
  end))

  it("does not get the key of the call that the worker runs", once.manager(function(notes, pm)
    once.pool(pm, notes, { name = "shop", size = 1 })
    local other = pm:spawn("workers.once", once.options(notes, { name = "other" }))
    local keyed = other:with { idempotency_key = "k" }
    keyed:calls_service("shop", "default", nil, "a")
    keyed:calls_service("shop", "default", nil, "b")
    keyed:calls_default "c"
    keyed:calls_default "d"
    assert.same({ 1, 1, 1, 1 }, { notes:runs "a", notes:runs "b", notes:runs "c", notes:runs "d" })
    keyed:calls_default "c"
    assert.equal(1, notes:runs "c")
  end))

  it("may call others of its class that are idempotent", once({ size = 1 },
    function(pool, notes)
      local first = { pool:with({ idempotency_key = "k" }):nests "n" }
      assert.same({ 1, 2, 3 }, first)
      assert.same(first, { pool:with({ idempotency_key = "k" }):nests "n" })
      assert.same({ 4, 2, 3 }, { pool:with({ idempotency_key = "l" }):nests "n" })
      assert.equal(2, (pool:default "n"))
      assert.equal(3, notes:runs "n")
    end))

  it("may call itself, as another call", once({ size = 1 }, function(pool, notes)
    assert.equal(0, pool:with({ idempotency_key = "k" }):descends(2))
    assert.equal(0, pool:descends(1))
    assert.same({ 1, 1, 1 }, { notes:runs(2), notes:runs(1), notes:runs(0) })
  end))

  it("is not of the call that left it running", once({ size = 1 }, function(pool, notes)
    expect.error("remote_error", function()
      pool:with({ idempotency_key = "k" }):leaves "first"
    end)
    notes:await("second", 1)
    pool:with({ idempotency_key = "k" }):leaves "third"
    assert.equal(1, notes:runs "third")
    pool:leaves "second" -- the method's own key was the digest
    assert.equal(1, notes:runs "second")
  end))
end)

describe("what stands around a method that is idempotent by key", function()
  it("gives answers of its own that are not remembered", once({ size = 2 },
    function(pool, notes)
      for _ = 1, 2 do
        assert.equal("instead", pool:with({ idempotency_key = "k" }):falls_back "f")
      end
      assert.equal(2, notes:runs "f")
      notes:say "go"
      for _ = 1, 3 do
        assert.equal("well", pool:with({ idempotency_key = "k" }):falls_back "f")
      end
      assert.equal(3, notes:runs "f")
    end))

  it("may call it again when it has raised", once({ size = 1 }, function(pool, notes)
    for _ = 1, 2 do
      assert.equal("in the end", pool:with({ timeout = 5000 }):persists "p")
      assert.equal("in the end", pool:with({ idempotency_key = "k" }):persists "p")
      assert.equal(4, notes:runs "p") -- twice for each key
    end
  end))
end)

describe("the options of idempotent", function()
  it("are checked", function()
    assert.equal("c.methods.m.idempotent: expected true, false or a table, given number 5",
      refusal(5))
    assert.equal('c.methods.m.idempotent.tll: unknown key; did you mean "ttl"?',
      refusal { tll = 1 })
    expect.part("c.methods.m.idempotent.ttl: expected a duration of at least 1ms",
      refusal { ttl = 0 })
    expect.part("c.methods.m.idempotent.key_fn: expected a function", refusal { key_fn = "id" })
    expect.part("c.methods.m.idempotent.max_entries: expected an integer of at least 1",
      refusal { max_entries = 0 })
    expect.part("c.methods.m.idempotent.store: the redis store is not built",
      refusal { store = "redis" })
    expect.part('c.methods.m.idempotent.store: unknown value "disk"', refusal { store = "disk" })
  end)
end)
