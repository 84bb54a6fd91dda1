local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local luv = require "luv"
local titan = require "titan"

local function with_worker(fn)
  return managed(function(pm)
    fn(pm:spawn "workers.cached", pm)
  end)
end

-- A file that is not there yet, and a function that writes it.
local function signal()
  local path = os.tmpname()
  os.remove(path)
  finally(function()
    os.remove(path)
    os.remove(path .. ".pid")
  end)
  return path, function(text)
    local file = assert(io.open(path .. ".new", "w"))
    file:write(text)
    file:close()
    assert(os.rename(path .. ".new", path))
  end
end

-- The pids of those that have begun to run `slow`, once there are so many.
local function await_pids(path, count)
  return proc.await(count .. " to run", function()
    local pids = {}
    for pid in (proc.read(path .. ".pid") or ""):gmatch "(%d+)\n" do
      pids[#pids + 1] = math.tointeger(pid)
    end
    return #pids == count and pids
  end)
end

local function with_pool(size, fn)
  return managed(function(pm)
    local ok, err = pcall(fn, pm:create_pool("workers.cached", { name = "cached", size = size }))
    pm:stop_all(0)
    if not ok then
      error(err, 0)
    end
  end)
end

local function await_runs(worker, name, count)
  proc.await(name .. " to run", function()
    return worker:runs(name) == count
  end)
end

local function refusal(cache)
  return expect.error("invalid_config", titan.process, {
    name = "c", methods = { m = { cache = cache, function() end } },
  }).message
end

describe("a cached method", function()
  it("runs once for the same arguments", with_worker(function(worker)
    assert.same({ 1, "a", { b = { 1 } } }, { worker:plain("a", { b = { 1 } }) })
    assert.same({ 1, "a", { b = { 1 } } }, { worker:plain("a", { b = { 1 } }) })
    assert.equal(2, (worker:plain("a", { b = { 2 } })))
    assert.equal(3, (worker:plain(1)))
    assert.equal(4, (worker:plain(1.0)))
    assert.equal(3, (worker:plain(1)))
    assert.equal(5, (worker:uncached(1)))
    assert.equal(6, (worker:uncached(1)))
  end))

  it("gives every result again, nil and the last ones too", with_worker(function(worker)
    for _ = 1, 2 do
      assert.same({ n = 5, nil, 1, nil, 3, nil }, table.pack(worker:several(1, nil, nil)))
      assert.same({ n = 0 }, table.pack(worker:nothing()))
    end
    assert.equal(1, worker:runs "nothing")
  end))

  it("runs again when the time to live is over", with_worker(function(worker)
    assert.equal(1, (worker:brief()))
    proc.await("another run", function()
      return worker:brief() == 2
    end)
  end))

  it("keeps as many as max_entries", with_worker(function(worker)
    for i = 1, 3 do
      assert.equal(i, (worker:few(i)))
    end
    assert.equal(3, (worker:few(3)))
    assert.equal(2, (worker:few(2)))
    assert.equal(4, (worker:few(1)))
  end))

  it("runs once for all that call it at the same time", with_worker(function(worker)
    local path, send = signal()
    local calls = {}
    for i = 1, 20 do
      calls[i] = worker.async:slow(path)
    end
    await_runs(worker, "slow", 1)
    send "done"
    local results = titan.all(calls)
    for i = 1, 20 do
      assert.equal(results[1], results[i])
    end
    assert.equal(1, worker:runs "slow")
  end))

  it("does not keep an error: those who wait run it, one after the other", with_worker(
    function(worker)
      local path, send = signal()
      send "fail"
      local calls = {}
      for i = 1, 3 do
        calls[i] = worker.async:slow(path)
      end
      for i = 1, 3 do
        expect.part("on purpose", expect.error("remote_error", calls[i].await, calls[i]).message)
      end
      assert.equal(3, worker:runs "slow")
      send "well"
      expect.part("well by", worker:slow(path))
      assert.equal(4, worker:runs "slow")
    end))

  it("goes on with the next when the caller of the first gives up", with_worker(function(worker)
    local path, send = signal()
    local first = worker.async:slow(path)
    await_runs(worker, "slow", 1)
    local second = worker.async:slow(path)
    first:cancel()
    await_runs(worker, "slow", 2)
    send "done"
    expect.part("done", second:await())
  end))

  it("keeps no caller longer than its deadline", with_worker(function(worker)
    local path, send = signal()
    local first = worker.async:slow(path)
    expect.error("timeout", function()
      worker:with({ timeout = 20 }):slow(path)
    end)
    send "done"
    expect.part("done", first:await())
    assert.equal(1, worker:runs "slow")
  end))

  it("has the key that key_fn says", with_worker(function(worker)
    assert.same({ 1, "id", "a" }, { worker:first("id", "a") })
    assert.same({ 1, "id", "a" }, { worker:first("id", "b") })
    assert.equal(2, (worker:first(7)))
    assert.equal(2, (worker:first("7")))
    local function message(how)
      return expect.error("remote_error", worker.broken_key, worker, how).message
    end
    assert.equal("cached.broken_key: cache.key_fn returned nil; it must return a string or a "
      .. "number", message())
    expect.part("cache.key_fn returned a table; it must", message "table")
    expect.part({ "cached.broken_key: cache.key_fn raised: ", "no key" }, message "raise")
    assert.equal(2, worker:runs "plain")
  end))

  it("keeps what its condition says, and gives the rest to those who wait", with_worker(
    function(worker)
      for _ = 1, 2 do
        assert.equal("wanted", worker:wanted "wanted")
        assert.equal("unwanted", worker:wanted "unwanted")
      end
      assert.equal(3, worker:runs "wanted")
      local path, send = signal()
      local calls = { worker.async:slow_unwanted(path), worker.async:slow_unwanted(path) }
      send "done"
      titan.all(calls)
      assert.equal(1, worker:runs "slow")
      expect.part({ "cached.broken_condition: cache.condition raised: ", "no opinion" },
        expect.error("remote_error", worker.broken_condition, worker).message)
    end))

  it("runs without the cache when more run than it has entries", with_worker(function(worker)
    local path, send = signal()
    local calls = { worker.async:full(path), worker.async:full(path), worker.async:full(path, 2) }
    await_runs(worker, "slow", 2)
    send "done"
    titan.all(calls)
    assert.equal(2, worker:runs "slow")
  end))

  it("refuses arguments that make no key", with_worker(function(worker)
    expect.part("argument 1: a function cannot travel",
      expect.error("validation_failed", worker.of_a_function, worker).message)
  end))
end)

describe("a method cached in the manager", function()
  it("runs once for all workers", with_pool(3, function(pool)
    local results = {}
    for i = 1, 12 do
      results[i] = { pool:shared("a", nil, { b = 1 }) }
    end
    for i = 1, 12 do
      assert.same({ 1, "a", nil, { b = 1 } }, results[i])
    end
    assert.equal("b", select(2, pool:shared "b"))
    for _ = 1, 4 do
      assert.same({ n = 5, nil, 1, nil, 2, nil }, table.pack(pool:shared_several(1, 2)))
    end
  end))

  it("runs once for all that call it at the same time", with_pool(3, function(pool)
    local path, send = signal()
    local calls = {}
    for i = 1, 12 do
      calls[i] = pool.async:shared_slow(path)
    end
    local pids = await_pids(path, 1)
    send "done"
    for _, result in ipairs(titan.all(calls)) do
      assert.equal("done by " .. pids[1], result)
    end
    await_pids(path, 1)
  end))

  it("does not keep an error: those who wait run it, one after the other", with_pool(3,
    function(pool)
      local path, send = signal()
      send "fail"
      local calls = {}
      for i = 1, 3 do
        calls[i] = pool.async:shared_slow(path)
      end
      for i = 1, 3 do
        expect.part("on purpose", expect.error("remote_error", calls[i].await, calls[i]).message)
      end
      await_pids(path, 3)
      send "well"
      expect.part("well by", pool:shared_slow(path))
      expect.part("well by", pool:shared_slow(path))
      await_pids(path, 4)
    end))

  it("is run by the next when the worker that ran it is killed", with_pool(2, function(pool)
    local path, send = signal()
    local first = pool.async:shared_slow(path)
    local pids = await_pids(path, 1)
    local second = pool.async:shared_slow(path)
    proc.await("the other to wait", function()
      return pool:metrics().in_flight == 2
    end)
    luv.kill(pids[1], "sigkill")
    expect.error("worker_lost", first.await, first)
    pids = await_pids(path, 2)
    assert.not_equal(pids[1], pids[2])
    send "done"
    assert.equal("done by " .. pids[2], second:await())
  end))

  it("is run by the next when the call that ran it is over its time", with_pool(2, function(pool)
    local path, send = signal()
    local first = titan.go(function()
      return pool:with({ timeout = 100 }):shared_slow(path)
    end)
    await_pids(path, 1)
    local second = pool.async:shared_slow(path)
    expect.error("timeout", first.await, first)
    local pids = await_pids(path, 2)
    send "done"
    assert.equal("done by " .. pids[2], second:await())
  end))

  it("keeps no caller that waits longer than its deadline", with_pool(2, function(pool)
    local path, send = signal()
    local first = pool.async:shared_slow(path)
    await_pids(path, 1)
    for _ = 1, 3 do
      expect.error("timeout", function()
        pool:with({ timeout = 10 }):shared_slow(path)
      end)
    end
    send "done"
    expect.part("done by", first:await())
    expect.part("done by", pool:shared_slow(path))
    await_pids(path, 1)
  end))

  it("has its time to live and its entries there", with_pool(1, function(pool)
    assert.equal(1, (pool:shared_brief()))
    proc.await("another run", function()
      return pool:shared_brief() == 2
    end)
    for i = 3, 5 do
      assert.equal(i, (pool:shared_few(i)))
    end
    assert.equal(5, (pool:shared_few(5)))
    assert.equal(6, (pool:shared_few(3)))
  end))

  it("does not keep what cannot travel", with_pool(1, function(pool)
    for i = 1, 2 do
      expect.part("result 1: a function cannot travel",
        expect.error("validation_failed", pool.shared_untravelling, pool).message)
      assert.equal(i, pool:runs "untravelling")
    end
  end))

  it("is kept apart from the same method of another service", managed(function(pm)
    local one = pm:spawn("workers.cached", { name = "one" })
    local two = pm:spawn("workers.cached", { name = "two" })
    assert.equal(1, (one:shared "a"))
    assert.equal(2, (one:shared "b"))
    assert.equal(1, (two:shared "b"))
  end))
end)

describe("a method cached in a file", function()
  local function with_file(path, fn)
    titan.run(function()
      local pm = titan.manager {
        logs = { format = "none" }, store = { kind = "sqlite", path = path },
      }
      fn(pm:create_pool("workers.cached", { name = "cached", size = 2 }))
      pm:stop_all(0)
    end)
  end

  it("is kept over the end of its manager", function()
    local path = os.tmpname()
    os.remove(path)
    finally(function()
      for _, suffix in ipairs { "", "-wal", "-shm" } do
        os.remove(path .. suffix)
      end
    end)
    with_file(path, function(pool)
      for _ = 1, 4 do
        assert.same({ 1, "a", nil, { b = 1 } }, { pool:durable("a", nil, { b = 1 }) })
      end
    end)
    with_file(path, function(pool)
      assert.same({ 1, "a", nil, { b = 1 } }, { pool:durable("a", nil, { b = 1 }) })
      assert.equal(0, pool:runs "plain")
      assert.equal(0, pool:runs "plain")
      assert.equal("b", select(2, pool:durable "b"))
    end)
  end)
end)

describe("the options of cache", function()
  it("are checked", function()
    assert.equal("c.methods.m.cache: expected true, false or a table, given number 5", refusal(5))
    assert.equal('c.methods.m.cache.tll: unknown key; did you mean "ttl"?', refusal { tll = 1 })
    expect.part("c.methods.m.cache.ttl: expected a duration of at least 1ms", refusal { ttl = 0 })
    expect.part("c.methods.m.cache.max_entries: expected an integer of at least 1, given number 0",
      refusal { max_entries = 0 })
    expect.part("c.methods.m.cache.key_fn: expected a function", refusal { key_fn = "id" })
    expect.part("c.methods.m.cache.condition: expected a function", refusal { condition = true })
    expect.part({ "c.methods.m.cache.store: the redis store is not built",
      'what works is "memory", "manager" or "sqlite"' }, refusal { store = "redis" })
    expect.part('c.methods.m.cache.store: unknown value "disk"', refusal { store = "disk" })
    assert.equal('c.methods.m.cache.ttl: required with store = "sqlite": nothing else takes '
      .. "results out of the file", refusal { store = "sqlite" })
  end)
end)
