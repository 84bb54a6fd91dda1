local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

local function streaming(fn)
  return managed(function(pm)
    fn(pm:spawn "workers.streaming", pm)
    pm:stop_all(0) -- what is still open need not come to its end
  end)
end

-- All items of a stream, each as a packed list.
local function collect(...)
  local items = {}
  local function add(first, ...)
    if first ~= nil then
      items[#items + 1] = table.pack(first, ...)
    end
    return first
  end
  local next, state, control, closing = ...
  local _ <close> = closing
  repeat
    control = add(next(state, control))
  until control == nil
  return items
end

local function count(...)
  local n = 0
  for _ in ... do
    n = n + 1
  end
  return n
end

describe("a stream", function()
  it("brings every item, in order, to its end", streaming(function(worker)
    local n = 0
    for i in worker:count(4000) do
      n = n + 1
      assert(i == n)
    end
    assert.equal(4000, n)
    assert.equal(0, count(worker:count(0)))
    assert.equal("nothing", worker:await_closed(2))
    assert.equal("an answer", worker:echo "an answer")
  end))

  it("has items of any number of values", streaming(function(worker)
    assert.same({ { 1, nil, { 0 }, nil, n = 4 }, { 2, nil, { 1 }, nil, n = 4 } },
      collect(worker:several(2)))
  end))

  it("is what a generic for takes, on both sides", streaming(function(worker)
    assert.equal(3, count(worker:callable(3)))
    local next, state, control, closing = worker:count(2)
    assert.equal("function", type(next))
    assert.is_nil(state)
    assert.is_nil(control)
    assert.is_function(getmetatable(closing).__close)
    assert.equal(1, next())
    assert.equal(2, next())
    assert.is_nil(next())
    assert.is_nil(next())
  end))

  it("has large items", streaming(function(worker)
    local n = 0
    for blob in worker:blobs(1 << 20) do
      n = n + 1
      assert(#blob == 1 << 20)
      if n == 6 then
        break
      end
    end
    assert.equal(6, n)
  end))

  it("is a future's value from async", streaming(function(worker)
    local one, other = worker.async:count(3), worker.async:several(2)
    assert.equal(3, count(one:await()))
    assert.equal(2, count(other:await()))
  end))

  it("is the plain iterator inside its own worker", streaming(function(worker)
    local sum, kinds = worker:own(10)
    assert.equal(55, sum)
    assert.same({ "function", "nil", "nil", "table" }, kinds)
  end))

  it("lets other calls and streams pass", streaming(function(worker)
    local n = 0
    for _ in worker:endless() do
      n = n + 1
      if n % 1000 == 0 then
        assert.equal(n, worker:echo(n))
        assert.equal(10, count(worker:count(10)))
      end
      if n == 5000 then
        break
      end
    end
    assert.equal(5000, n)
  end))

  it("goes beside two hundred others", streaming(function(worker)
    local futures, slow = {}, worker:endless()
    for i = 1, 200 do
      futures[i] = titan.go(function()
        local n = 0
        for k in worker:count(i) do
          n = n + 1
          assert(k == n)
          if k % 40 == 0 then
            titan.sleep(0)
          end
        end
        return n
      end)
    end
    for i, n in ipairs(titan.all(futures)) do
      assert.equal(i, n)
    end
    assert.equal(1, slow())
  end))
end)

describe("a stream's end", function()
  it("comes by break: the worker's iterator is closed", streaming(function(worker)
    for i in worker:endless() do
      if i == 5 then
        break
      end
    end
    assert.same({ 1, "cancelled" }, { select(2, worker:report()) })
    for _ in worker:hang(1) do -- luacheck: ignore 512
      break
    end
    assert.equal("cancelled", worker:await_closed(2))
  end))

  it("comes by an error or a return out of the loop", streaming(function(worker)
    assert.is_false(pcall(function()
      for _ in worker:endless() do
        error "out of here"
      end
    end))
    worker:await_closed(1)
    local function first()
      for i in worker:endless() do -- luacheck: ignore 512
        return i
      end
    end
    assert.equal(1, first())
    worker:await_closed(2)
  end))

  it("comes to an iterator that does not want to be cancelled", streaming(function(worker)
    for i in worker:stubborn() do
      if i == 1 then
        break
      end
    end
    assert.equal("cancelled", worker:await_closed(1))
  end))

  it("comes by collection", streaming(function(worker)
    do
      local next = worker:endless()
      assert.equal(1, next())
    end
    local closed = worker.async:await_closed(1)
    proc.await("the end of a stream that nobody has", function()
      collectgarbage()
      return closed:done()
    end)
  end))

  it("comes by titan.timeout and by a cancelled task", streaming(function(worker)
    local n = 0
    local function all()
      for _ in worker:hang(2) do
        n = n + 1
      end
    end
    expect.error("timeout", titan.timeout, 300, all)
    worker:await_closed(1)
    n = 0
    local task = titan.go(all)
    proc.await("all items", function()
      return n == 2
    end)
    assert.is_true(task:cancel())
    expect.error("cancelled", task.await, task)
    assert.equal("cancelled", worker:await_closed(2))
  end))

  it("is what a closed one says", streaming(function(worker)
    local next, _, _, closing = worker:endless()
    next();
    (function()
      local _ <close> = closing
    end)()
    assert.equal("the stream has been closed", expect.error("cancelled", next).message)
  end))

  it("wakes a task that waits when another closes it", streaming(function(worker)
    local next, _, _, closing = worker:hang(0)
    local waiting = titan.go(next)
    expect.complaint("another task waits for the next item", next);
    (function()
      local _ <close> = closing
    end)()
    expect.error("cancelled", waiting.await, waiting)
  end))
end)

describe("an error of a stream", function()
  it("is raised after the items before it, again and again", streaming(function(worker)
    local next = worker:failing(3)
    assert.same({ 1, 2, 3 }, { next(), next(), next() })
    for _ = 1, 2 do
      local err = expect.error("rate_limited", next)
      assert.equal("on purpose", err.message)
      assert.same({ after = 3 }, err.details)
      assert.equal("streaming", err.process)
      assert.equal("failing", err.method)
    end
    assert.equal("rate_limited", worker:await_closed(1))
  end))

  it("is the call's before there is an iterator", streaming(function(worker)
    assert.equal("there is no such stream",
      expect.error("overloaded", worker.refusing, worker).message)
    expect.part("a stream method returns an iterator, as a generic `for` takes it; this one "
      .. "returned a number", expect.error("remote_error", worker.wrong, worker).message)
  end))

  it("names an item that cannot travel", streaming(function(worker)
    local next = worker:untravelling()
    assert.equal(1, next())
    expect.part("item value 1: a function cannot travel",
      expect.error("validation_failed", next).message)
    assert.equal("validation_failed", worker:await_closed(1))
    next = worker:huge()
    assert.equal(1, next())
    expect.part("limits.frame", expect.error("limit_exceeded", next).message)
    assert.equal("an answer", worker:echo "an answer")
  end))
end)

describe("the timeout of a stream's call", function()
  it("is for each item, and not for the time in between", streaming(function(worker)
    assert.equal(4, count(worker:with { timeout = 200 }:ticks(60, 4)))
    for _ in worker:with { timeout = 200 }:count(3) do
      titan.sleep(80)
    end
  end))

  it("ends the stream", streaming(function(worker)
    local next = worker:with { timeout = 100 }:hang(2)
    assert.same({ 1, 2 }, { next(), next() })
    assert.equal("no item within 100 ms", expect.error("timeout", next).message)
    assert.equal("cancelled", worker:await_closed(1))
    expect.error("timeout", next)
  end))
end)

describe("a slow reader", function()
  local SIZE <const> = 1 << 16
  local WINDOW <const> = 4 << 20

  -- How many items there are once no more are made.
  local function standing(worker, least)
    proc.await("the items of a window", function()
      return (worker:report()) >= least
    end)
    for _ = 1, 30 do
      worker:echo()
    end
    return (worker:report())
  end

  local function resident()
    return tonumber(proc.read "/proc/self/status":match "VmRSS:%s*(%d+)") * 1024
  end

  it("lets the worker send no more than a window", streaming(function(worker)
    local next = worker:blobs(SIZE)
    assert.equal(SIZE, #next())
    assert.equal(64, standing(worker, 64))
    for _ = 1, 100 do
      next()
    end
    local made = standing(worker, 100 + 32)
    assert(made <= 101 + WINDOW // SIZE, made)
  end))

  it("holds back a stream through other services as well", streaming(function(worker, pm)
    local relay = pm:spawn("workers.streaming", { name = "relay" })
    local before = resident()
    local next = relay:through("streaming", "blobs", SIZE)
    assert.equal(SIZE, #next())
    local made = standing(worker, 100)
    assert(made <= 2 * WINDOW // SIZE + 2, made)
    assert(resident() - before < 64 << 20)
    for _ = 1, 100 do
      assert(#next() == SIZE)
    end
  end))

  it("costs the worker nothing but the window", streaming(function(worker, pm)
    local pid = pm:get_process_info(worker:__id()).pid
    local streams = {}
    for i = 1, 4 do
      streams[i] = worker:blobs(SIZE)
      assert.equal(SIZE, #streams[i]())
    end
    assert(standing(worker, 4 * 64) <= 4 * 65)
    local peak = tonumber(proc.read("/proc/" .. pid .. "/status"):match "VmHWM:%s*(%d+)")
    assert(peak < 256 << 10, peak)
  end))
end)

describe("a stream of another service", function()
  it("is one inside a worker, too", streaming(function(_, pm)
    local caller = pm:spawn("workers.streaming", { name = "caller" })
    assert.same({ 5050, 100 }, { caller:sum("streaming", "count", nil, 100) })
    assert.same({ 6, 3 }, { caller:sum("streaming", "several", nil, 3) })
  end))

  it("ends by break there", streaming(function(worker, pm)
    local caller = pm:spawn("workers.streaming", { name = "caller" })
    assert.same({ 15, 5 }, { caller:sum("streaming", "endless", 5) })
    assert.equal("cancelled", worker:await_closed(1))
  end))

  it("brings its error, or no item in time", streaming(function(worker, pm)
    local caller = pm:spawn("workers.streaming", { name = "caller" })
    assert.same({ 2, "rate_limited", "on purpose" },
      { caller:failure("streaming", "failing", false, 2) })
    assert.same({ 0, "overloaded", "there is no such stream" },
      { caller:failure("streaming", "refusing", false) })
    assert.same({ 1, "timeout", "no item within 100 ms" },
      { caller:failure("streaming", "hang", 100, 1) })
    worker:await_closed(2)
  end))

  it("can be passed on, and is ended through every hand", streaming(function(worker, pm)
    local relay = pm:spawn("workers.streaming", { name = "relay" })
    assert.equal(1000, count(relay:through("streaming", "count", 1000)))
    local err = expect.error("rate_limited", function()
      return count(relay:through("streaming", "failing", 2))
    end)
    assert.equal("streaming", err.process)
    for i in relay:through("streaming", "endless") do
      if i == 3 then
        break
      end
    end
    assert.equal("cancelled", worker:await_closed(3))
  end))

  it("comes from a pool", managed(function(pm)
    local pool = pm:create_pool("workers.streaming", { size = 2, name = "streams" })
    local caller = pm:spawn("workers.streaming", { name = "caller" })
    assert.same({ 5050, 100 }, { caller:sum("streams", "count", nil, 100) })
    assert.same({ 15, 5 }, { caller:sum("streams", "endless", 5) })
    proc.await("an end", function()
      return pool.active == 0
    end)
    pool:destroy(0)
  end))
end)

describe("a stream through a pool", function()
  local function pooled(options, fn)
    options.size = 1
    return managed(function(pm)
      local pool = pm:create_pool("workers.streaming", options)
      local ok, err = pcall(fn, pool, pm)
      pool:destroy(0)
      if not ok then
        error(err, 0)
      end
    end)
  end

  it("has a worker for itself until its end", pooled({ max_concurrency = 1 }, function(pool)
    local waiting
    for i in pool:hang(2) do
      waiting = waiting or pool.async:echo "after it"
      assert.same({ 1, 1 }, { pool.active, pool.pending })
      if i == 2 then
        break
      end
    end
    assert.equal("after it", waiting:await())
    assert.equal(2, pool:metrics().calls)
  end))

  it("gives it back by break, which is no error", pooled({}, function(pool)
    for _ in pool:endless() do -- luacheck: ignore 512
      break
    end
    assert.equal(0, pool.active)
    assert.equal("cancelled", pool:await_closed(1))
    local metrics = pool:metrics()
    assert.equal(2, metrics.calls)
    assert.equal(0, metrics.errors)
  end))

  it("tells the pool of an error", pooled({}, function(pool)
    expect.error("rate_limited", function()
      return count(pool:failing(1))
    end)
    assert.equal(1, pool:metrics().errors)
    assert.equal(0, pool.active)
  end))

  it("waits for its worker", pooled({ max_concurrency = 1 }, function(pool)
    local first, second = pool.async:ticks(1, 3), pool.async:count(3)
    assert.equal(3, count(first:await()))
    assert.equal(3, count(second:await()))
  end))

  it("opens the breaker when items do not come", pooled({
    circuit_breaker = { failure_threshold = 1, timeout = "1h" },
  }, function(pool)
    local next = pool:with { timeout = 60 }:hang(1)
    assert.equal(1, next())
    expect.error("timeout", next)
    expect.error("circuit_open", pool.echo, pool)
  end))
end)

describe("the annotation", function()
  it("is refused where it makes no sense", function()
    local function refused(method)
      method[1] = function() end
      return expect.error("invalid_config", titan.process, {
        name = "c", methods = { m = method },
      }).message
    end
    assert.equal("c.methods.m: stream and idempotent cannot be together: an item that was sent "
      .. "cannot be taken back", refused { stream = true, idempotent = true })
    expect.part("stream and on_shutdown cannot be together",
      refused { stream = true, on_shutdown = true })
    expect.part("stream and health_check cannot be together",
      refused { stream = true, health_check = true })
    expect.part("c.methods.m.stream: expected", refused { stream = 1 })
    titan.process { methods = { m = { stream = false, idempotent = true, function() end } } }
  end)
end)
