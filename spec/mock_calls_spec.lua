local expect = require "support.expect"
local managed = require "support.managed"
local shared = require "support.shared"
local titan = require "titan"

local CALLS <const> = "workers.mocked_calls"
local TRACEPARENT <const> = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

local function between(least, most, value)
  assert.is_true(value and least <= value and value <= most,
    string.format("%s is not in %d..%d", value, least, most))
end

-- A file of its own for what is durable, gone with the program.
local function store_of_its_own()
  local path = os.tmpname()
  os.remove(path)
  return { path = path }
end

local function code_of(...)
  local _, err = pcall(...)
  return err.code
end

-- What holds of real workers and of mock ones alike -------------------------------------------

for kind, testing in pairs { real = {}, mock = { use_mock_spawner = true } } do
  -- The names of two workers, the one that has had a call first; nothing while none has.
local function busy_first(pm, one, other)
  for _, names in ipairs { { one, other }, { other, one } } do
    local worker = pm:discover(names[1])
    if worker and worker:__metrics().calls == 1 then
      return names[1], names[2]
    end
  end
end

describe("a call of a " .. kind .. " worker", function()
    local shares = shared { testing = testing }

    it("brings what its caller gave, for its method alone", shares(function(pm)
      local worker = pm:spawn(CALLS)
      pm:spawn(CALLS, { name = "inner" })
      local with = worker:with { headers = { tenant = "a", traceparent = TRACEPARENT },
        idempotency_key = "k1" }
      local seen = with:seen()
      assert.same({ { tenant = "a" }, "k1", TRACEPARENT },
        { seen.headers, seen.idempotency_key, seen.traceparent })
      assert.same({ tenant = "a" }, with:seen_inside().headers)
      seen = with:seen_by "inner"
      assert.same({ {}, TRACEPARENT }, { seen.headers, seen.traceparent })
      assert.is_nil(seen.idempotency_key)
      seen = with:seen_by("inner", { headers = { tenant = "b" }, idempotency_key = "k2" })
      assert.same({ { tenant = "b" }, "k2" }, { seen.headers, seen.idempotency_key })
      assert.equal("another", with:changed())
      assert.equal("a", with:seen().headers.tenant)
      assert.same({}, worker:seen().headers)
      assert.is_nil(worker:seen().traceparent)
    end))

    it("brings it through pools", shares(function(pm)
      local pool = pm:create_pool(CALLS, { name = "pool", size = 1 })
      pm:spawn(CALLS, { name = "outer" })
      local seen = pool:with({ headers = { a = "1" }, timeout = "5s" }):seen()
      assert.same({ a = "1" }, seen.headers)
      between(1, 5000, seen.time_left)
      seen = pm:discover "outer":with({ timeout = "2s" }):seen_by("pool", { headers = { b = "2" } })
      assert.same({ b = "2" }, seen.headers)
      between(1, 2000, seen.time_left)
    end))

    it("knows its deadline, which goes along", shares(function(pm)
      local worker = pm:spawn(CALLS):with { timeout = "5s" }
      pm:spawn(CALLS, { name = "inner" })
      between(1, 5000, worker:seen().time_left)
      between(1, 5000, worker:seen_inside().time_left)
      between(1, 5000, worker:seen_by("inner", { timeout = false }).time_left)
      between(1, 1000, worker:seen_by("inner", { timeout = "1s" }).time_left)
      assert.is_nil(worker:with({ timeout = false }):seen().time_left)
      between(1, 2000, titan.timeout("2s", worker.seen, worker).time_left)
      assert.equal("no time is left of the call that this one is part of",
        expect.error("timeout", titan.timeout, 0, worker.seen, worker).message)
    end))

    it("ends with its deadline, however deep", shares(function(pm)
      local outer = pm:spawn(CALLS, { name = "outer" })
      local inner = pm:spawn(CALLS, { name = "inner" })
      local hurried = outer:with { timeout = 60 }
      expect.error("timeout", hurried.rest_at, hurried, "inner", "1h")
      for _, worker in ipairs { outer, inner } do
        repeat
          titan.sleep(1)
        until worker:how_closed()
        local how = worker:how_closed()
        assert.is_true(how == "cancelled" or how == "timeout", how)
      end
      assert.equal("the limit",
        expect.error("remote_error", outer.limited_call, outer, 5, "inner").message)
    end))
  end)

  describe("an annotation in a " .. kind .. " worker", function()
    local stored = store_of_its_own()
    local shares = shared { testing = testing, store = stored }

    teardown(function()
      for _, suffix in ipairs { "", "-wal", "-shm" } do
        os.remove(stored.path .. suffix)
      end
    end)

    it("caches", shares(function(pm)
      local worker = pm:spawn(CALLS)
      assert.same({ 1, 1, 2 }, { (worker:cached "a"), (worker:cached "a"), (worker:cached "b") })
      assert.same({ 2, "b" }, { worker:cached_inside "b" })
    end))

    it("keeps things for all workers of a service, and of no other", shares(function(pm)
      local pool = pm:create_pool(CALLS, { name = "pool", size = 2 })
      for _ = 1, 4 do
        assert.equal(1, (pool:cached_by_all "a"))
      end
      assert.equal(1, (pm:spawn(CALLS, { name = "other" }):cached_by_all "a"))
    end))

    it("passes a claim on when its worker is lost", shares(function(pm)
      local pool = pm:create_pool(CALLS, { name = "lossy", size = 2 })
      local lost = pool.async:slow_by_all "1h"
      local first, second
      repeat
        titan.sleep(1)
        first, second = busy_first(pm, "lossy-1", "lossy-2")
      until first
      titan.sleep(10)
      local waiting = pool.async:slow_by_all(0)
      titan.sleep(10)
      pm:kill(first)
      expect.error("worker_lost", lost.await, lost)
      assert.same({ second, 1 }, { waiting:await() })
    end))

    it("limits the rate of a service", shares(function(pm)
      local pool = pm:create_pool(CALLS, { name = "pool2", size = 2 })
      pool:limited()
      pool:limited()
      local err = expect.error("rate_limited", pool.limited, pool)
      between(1, 2000, err.details.retry_after)
      local worker = pm:spawn(CALLS, { name = "alone" })
      worker:limited_alone()
      worker:limited_alone()
      expect.error("rate_limited", worker.limited_alone, worker)
    end))

    it("runs a method once by key", shares(function(pm)
      local pool = pm:create_pool(CALLS, { name = "pool3", size = 2 })
      for _ = 1, 3 do
        assert.same({ 1, "a" }, { pool:once "a" })
        assert.equal(1, (pool:once_by_id { id = 1, at = math.random() }))
      end
      local keyed = pool:with { idempotency_key = "k" }
      assert.same({ keyed:once "x" }, { keyed:once "y" })
      assert.equal(1, (pool:durable "a"))
      assert.equal(1, (pool:durable "a"))
      local worker = pm:spawn(CALLS, { name = "single" })
      assert.same({ 1, 1, 2 }, { (worker:once_alone(1)), (worker:once_alone(1)),
        (worker:once_alone(2)) })
      worker:once "b"
      worker:once "b"
      assert.equal(1, worker:__metrics().methods.once.calls) -- the claim is the manager's
      assert.equal(1, (worker:with({ idempotency_key = "other" }):once_inside "b"))
    end))

    it("waits for the same call that runs", shares(function(pm)
      local worker = pm:spawn(CALLS, { name = "waited" })
      local both = titan.all { worker.async:once_slow "10ms", worker.async:once_slow "10ms" }
      assert.same({ n = 2, "waited", "waited" }, both)
      assert.equal(1, select(2, worker:once_slow "10ms"))
    end))

    it("counts and measures", shares(function(pm)
      local worker = pm:spawn(CALLS)
      worker:measured "a"
      worker:measured("b", 2)
      worker:measured "b"
      local metrics = worker:__metrics()
      assert.same({ 3, 3 }, { metrics.counters["things.done"],
        metrics.histograms["things.ms"].count })
      local values = {}
      for _, series in ipairs(metrics.series) do
        values[series.key] = series.value or series.latency.count
      end
      assert.same({ ['things.done{kind="a"}'] = 1, ['things.done{kind="b"}'] = 2,
        ['things.ms{kind="a"}'] = 1, ['things.ms{kind="b"}'] = 2 }, values)
    end))

    it("refuses, excuses, retries, limits and breaks", shares(function(pm)
      local worker = pm:spawn(CALLS)
      assert.same({ "instead", "failed 1", 9 }, { worker:excused(9) })
      assert.equal(3, worker:retried(2))
      assert.equal("timeout", code_of(worker.hurried, worker, "1h"))
      assert.equal("timeout", worker:how_closed())
      local first = worker.async:crowded "20ms"
      assert.equal("overloaded", code_of(worker.crowded, worker, 0))
      assert.equal("through", first:await())
      assert.equal("remote_error", code_of(worker.broken, worker, 9))
      assert.equal("remote_error", code_of(worker.broken, worker, 9))
      local err = expect.error("circuit_open", worker.broken, worker, 9)
      between(1, 30000, err.details.retry_after)
      assert.same({ 1, "t" }, { worker:traced "t" })
    end))

    it("validates", shares(function(pm)
      local worker = pm:spawn(CALLS)
      assert.same({ 1, 5 }, { worker:checked(5) })
      assert.equal("validation_failed", code_of(worker.checked, worker, 0))
    end))
  end)

  describe("a stream of a " .. kind .. " worker", function()
    local shares = shared { testing = testing }

    it("brings copies of its items", shares(function(pm)
      local worker, items = pm:spawn(CALLS), {}
      for i, item in worker:count(3) do
        items[i] = item
      end
      assert.same({ { 1 }, { 2 }, { 3 } }, items)
      assert.equal("closed", worker:how_closed())
      assert.equal(6, worker:sum(3))
      assert.equal(10, pm:spawn(CALLS, { name = "summing" }):sum_of("calls", 4))
    end))

    it("ends early, and its iterator is closed", shares(function(pm)
      local worker = pm:spawn(CALLS)
      for i in worker:slow_stream() do -- luacheck: ignore 512
        assert.equal(1, i)
        break
      end
      repeat
        titan.sleep(1)
      until worker:how_closed()
      assert.equal("cancelled", worker:how_closed())
      local next, _, _, closing = worker:slow_stream()
      assert.equal(1, next())
      getmetatable(closing).__close(closing)
      assert.equal("the stream has been closed", expect.error("cancelled", next).message)
    end))

    it("fails as its iterator does, or when an item is late", shares(function(pm)
      local worker = pm:spawn(CALLS)
      local next = worker:failing_stream()
      assert.same({ 1, 2 }, { next(), next() })
      for _ = 1, 2 do
        assert.equal("no more", expect.error("remote_error", next).message)
      end
      next = worker:leaking_stream()
      assert.equal(1, next())
      expect.part("item value 1: a function cannot travel",
        expect.error("validation_failed", next).message)
      next = worker:with { timeout = 100 }:slow_stream()
      assert.equal(1, next())
      assert.equal("no item within 100 ms", expect.error("timeout", next).message)
      expect.part("a stream method returns an iterator",
        expect.error("remote_error", worker.no_stream, worker).message)
    end))

    it("has a worker of a pool for itself", shares(function(pm)
      local pool = pm:create_pool(CALLS, { name = "busy", size = 1, max_concurrency = 1 })
      local next, _, _, closing = pool:slow_stream()
      assert.equal(1, next())
      local waiting = pool.async:seen()
      assert.equal(1, pool.pending)
      getmetatable(closing).__close(closing)
      assert.is_table(waiting:await())
    end))

    it("is lost with its worker", shares(function(pm)
      local next = pm:spawn(CALLS):slow_stream()
      assert.equal(1, next())
      pm:kill "calls"
      expect.error("worker_lost", next)
    end))
  end)
end

-- What only the mock can --------------------------------------------------------------------

-- A test body with a mock spawner, its manager and a clock.
local function mocked(fn)
  return managed({ testing = { use_mock_spawner = true } }, function(pm)
    local clock <close> = titan.testing.virtual_clock()
    fn(pm.spawner, pm, clock)
    pm:stop_all(0)
  end)
end

describe("annotations under the virtual clock", function()
  it("close a breaker again after its time", mocked(function(_, pm, clock)
    local worker = pm:spawn(CALLS)
    assert.equal("remote_error", code_of(worker.broken, worker, 2))
    assert.equal("remote_error", code_of(worker.broken, worker, 2))
    assert.equal(30000, expect.error("circuit_open", worker.broken, worker).details.retry_after)
    clock:advance "29s"
    assert.equal("circuit_open", code_of(worker.broken, worker))
    clock:advance "1s"
    assert.equal(3, worker:broken(2))
  end))

  it("let cached results expire", mocked(function(_, pm, clock)
    local worker = pm:spawn(CALLS)
    for _, method in ipairs { "cached", "cached_by_all", "once", "once_by_id" } do
      local before = worker[method](worker, { id = 1 })
      clock:advance "9s"
      assert.equal(before, (worker[method](worker, { id = 1 })))
      clock:advance "1s"
      assert.equal(before + 1, (worker[method](worker, { id = 1 })))
    end
  end))

  it("refill a limit", mocked(function(_, pm, clock)
    local worker = pm:spawn(CALLS)
    for _, method in ipairs { "limited", "limited_alone" } do
      worker[method](worker)
      worker[method](worker)
      assert.equal(2000, expect.error("rate_limited", worker[method], worker).details.retry_after)
      clock:advance "1999ms"
      assert.equal("rate_limited", code_of(worker[method], worker))
      clock:advance "1ms"
      assert.equal(3, worker[method](worker))
    end
  end))

  it("wait between attempts", mocked(function(_, pm, clock)
    local worker = pm:spawn(CALLS, { timeout = false })
    local call = worker.async:retried_slowly(2)
    clock:advance "10s"
    assert.is_false(call:done())
    assert.same({ true, 60000 }, { clock:run_until_idle() })
    assert.equal(3, call:await())
  end))

  it("end what takes too long", mocked(function(_, pm, clock)
    local worker = pm:spawn(CALLS)
    local call = worker.async:hurried "1h"
    clock:advance(19)
    assert.is_false(call:done())
    clock:advance(1)
    expect.part("not done within 20 ms", expect.error("timeout", call.await, call).message)
  end))

  it("measure by it", mocked(function(_, pm, clock)
    local worker = pm:spawn(CALLS)
    local call = worker.async:measured("a", "10s")
    clock:advance "10s"
    call:await()
    assert.equal(10000, worker:__metrics().histograms["things.ms"].max)
  end))
end)

describe("deadlines under the virtual clock", function()
  it("are exact, and shrink on their way", mocked(function(_, pm, clock)
    local outer = pm:spawn(CALLS, { name = "outer" }):with { timeout = "10s" }
    pm:spawn(CALLS, { name = "inner" })
    assert.equal(10000, outer:seen_by("inner", { timeout = false }).time_left)
    assert.equal(5000, titan.timeout("5s", outer.seen, outer).time_left)
    local call = outer.async:rest_at("inner", "1h")
    clock:advance(9999)
    assert.is_false(call:done())
    clock:advance(1)
    assert.equal("no answer within 10000 ms", expect.error("timeout", call.await, call).message)
    clock:run_until_idle()
    assert.equal("cancelled", pm:discover "inner":how_closed())
  end))

  it("are those of a pool's queue, too", mocked(function(_, pm, clock)
    local pool = pm:create_pool(CALLS, { size = 1, max_concurrency = 1 })
    local busy = pool.async:rest "4s"
    local waiting = pool:with({ timeout = "10s" }).async:seen()
    clock:advance "4s"
    assert.equal("rested", busy:await())
    assert.equal(6000, waiting:await().time_left)
  end))

  it("are for each item of a stream", mocked(function(_, pm, clock)
    local next = pm:spawn(CALLS):with { timeout = "30s" }:slow_stream()
    assert.equal(1, next())
    clock:advance "10m"
    local late = titan.go(next)
    clock:advance "30s"
    assert.equal("no item within 30000 ms", expect.error("timeout", late.await, late).message)
  end))
end)

describe("titan.testing.mock_spawner", function()
  it("gives each life of a worker what annotations keep anew", mocked(function(spawner, pm)
    local pool = pm:create_pool(CALLS, { name = "one", size = 1,
      spawn_options = { restart_policy = { enabled = true, delay = 0 } } })
    assert.equal(1, pool:cached "a")
    assert.equal(1, pool:cached_by_all "a")
    pool:measured "a"
    spawner:crash "one-1"
    pool:seen()
    assert.equal(1, pool:cached "a")
    assert.equal(1, pool:cached_by_all "a")
    assert.is_nil(pm:get_metrics("one-1").counters["things.done"])
  end))

  it("gives a written answer each time, whatever is idempotent", mocked(function(spawner, pm)
    local worker = pm:spawn(CALLS)
    spawner:on("calls", "once"):returns("first"):times(1)
    spawner:on("calls", "once"):returns "then"
    assert.same({ "first", "then" }, { worker:once(1), worker:once(1) })
  end))

  it("streams what a test has written down, and records it", mocked(function(spawner, pm)
    local worker, sum = pm:spawn(CALLS), 0
    spawner:on("calls", "count"):calls(function(_, n)
      return function(_, i)
        return (i or n) > 0 and (i or n) - 1 or nil
      end
    end)
    for i in worker:count(3) do
      sum = sum + i
    end
    assert.equal(3, sum)
    assert.same({ { n = 1, 2 }, { n = 1, 1 }, { n = 1, 0 } }, spawner.calls[1].items)
  end))
end)
