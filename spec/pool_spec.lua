local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local pooled = require "support.pooled"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

-- How often each value is in a list.
local function tally(list)
  local counts, different = {}, 0
  for _, value in ipairs(list) do
    different = different + (counts[value] and 0 or 1)
    counts[value] = (counts[value] or 0) + 1
  end
  return counts, different
end

local function calls(pool, count, method, ...)
  local futures = {}
  for i = 1, count do
    futures[i] = pool.async[method](pool.async, ...)
  end
  return futures
end

local function outcomes(futures)
  local counts = {}
  for _, future in ipairs(futures) do
    local ok, err = pcall(future.await, future)
    local code = ok and "ok" or err.code
    counts[code] = (counts[code] or 0) + 1
  end
  return counts
end

-- A place for a file that is not there yet.
local function signal()
  local directory = proc.directory()
  local path = directory .. "/go"
  return path, function()
    assert(io.open(path, "w")):close()
  end, function()
    proc.remove(directory)
  end
end

local function state(pool)
  return pool:metrics().state
end

describe("a pool", function()
  it("calls its workers as if they were one", pooled({ size = 3 }, function(pool, pm)
    assert.same({ 1, nil, "x", n = 3 }, table.pack(pool:echo(1, nil, "x")))
    local _, different = tally(titan.all(calls(pool, 60, "pid")))
    assert.equal(3, different)
    assert.equal("pooled", pool.name)
    assert.equal(3, pool.size)
    assert.equal(0, pool.active)
    assert.equal(0, pool.pending)
    assert.equal("titan pool pooled (running, 3 workers)", tostring(pool))
    assert.equal(pool, pm:discover "pooled")
    assert.equal("running", pm:get_process_info("pooled-3").status)
    assert.equal("worker", pm:discover("pooled-1"):echo "worker")
  end))

  it("raises what a method raises, and what cannot be called", pooled({ size = 1 }, function(pool)
    expect.part("on purpose", expect.error("remote_error", pool.fail, pool).message)
    local err = expect.error("method_not_found", function()
      pool:ecko()
    end)
    expect.part("did you mean echo", err.message)
    expect.error("validation_failed", pool.echo, pool, print)
    expect.complaint("with a colon", pool.echo, 1)
    assert.equal(1, pool:echo(1))
    assert.equal(0, pool.active)
  end))

  it("has names of its own, which invoke passes by", pooled({ size = 1 }, function(pool)
    assert.equal("running", pool:metrics().state)
    assert.same({ "the worker's own", 1, nil, n = 3 },
      table.pack(pool:invoke("metrics", { 1, nil, n = 2 })))
    assert.equal("the worker's own", pool:invoke "metrics")
    expect.error("method_not_found", pool.invoke, pool, "nonsense", {})
    expect.error("invalid_config", pool.invoke, pool, 5)
  end))

  it("counts what it does", pooled({ size = 2 }, function(pool)
    titan.all(calls(pool, 10, "echo"))
    pcall(pool.fail, pool)
    local metrics = pool:metrics()
    assert.equal(11, metrics.calls)
    assert.equal(1, metrics.errors)
    assert.equal(11, metrics.latency.count)
    assert.is_true(metrics.latency.p50 > 0)
    assert.equal(2, metrics.idle)
    assert.equal(2, #metrics.workers)
    assert.equal(11, metrics.workers[1].calls + metrics.workers[2].calls)
    assert.equal("up", metrics.workers[1].state)
    assert.equal("pooled-1", metrics.workers[1].name)
  end))

  it("names its workers after itself, and takes no name twice", managed(function(pm)
    local first = pm:create_pool("workers.pooled", { name = "crew", size = 1 })
    assert.equal("crew-1", first:who())
    local err = expect.error("invalid_config", pm.create_pool, pm, "workers.pooled",
      { name = "crew" })
    expect.part("pool.name", err.message)
    expect.error("invalid_config", pm.spawn, pm, "workers.echo", { name = "crew" })
    expect.error("invalid_config", pm.create_pool, pm, "workers.pooled", { name = "crew-1" })
    first:destroy()
    pm:create_pool("workers.pooled", { name = "crew", size = 1 }):destroy()
  end))

  it("gives each worker its own options", pooled({
    size = 2, strategy = "round_robin", spawn_options = { options = { color = "red" } },
    spawn_options_factory = function(index)
      return { name = "number-" .. index, options = index == 2 and { color = "blue" } or nil }
    end,
  }, function(pool)
    local first, second = pool:who(), pool:who()
    assert.is_true(first == "number-1" and second == "number-2"
      or first == "number-2" and second == "number-1")
    local colors = { [pool:option "color"] = true, [pool:option "color"] = true }
    assert.same({ red = true, blue = true }, colors)
  end))

  it("is stopped by stop_all, before its workers", managed(function(pm)
    local restarted = false
    local pool = pm:create_pool("workers.pooled", { size = 2 })
    pm:on("process:restart", function()
      restarted = true
    end)
    local call = pool.async:sleep(30)
    assert.is_true(pm:stop_all())
    assert.is_true(call:done())
    assert.is_number(call:await())
    assert.is_false(restarted)
    expect.error("destroyed", pool.echo, pool)
    assert.is_nil(pm:discover "pooled")
  end))

  it("ends with its manager", managed(function(pm)
    local pool = pm:create_pool("workers.pooled", { size = 1, max_concurrency = 1 })
    local futures = calls(pool, 3, "sleep", "1h")
    local scaling = titan.go(pool.scale, pool, 2)
    pm:close()
    assert.same({ destroyed = 3 }, outcomes(futures))
    expect.error("destroyed", scaling.await, scaling)
    expect.error("destroyed", pool.echo, pool)
    assert.equal("ended", state(pool))
  end))
end)

describe("the options of a pool", function()
  local wrong = {
    ["pool.max_queue"] = { max_queue = 1 },
    ["pool.min"] = { min = 3, max = 2 },
    ["pool.size"] = { size = 0 },
    ["pool.strategy"] = { strategy = "round_robbin" },
    ["pool.max_lifetime"] = { max_lifetime = "soon" },
    ["pool.warmup"] = { warmup = 5 },
    ["pool.memory_warning_threshold"] = { memory_warning_threshold = 0.5 },
    ["pool.circuit_breaker.timeout"] = { circuit_breaker = { timeout = -1 } },
    ["pool.auto_scale.cpus"] = { auto_scale = { cpus = 1 } },
    ["pool.heartbeat"] = { heartbeat = true },
    ["pool.spawn_options.cwt"] = { spawn_options = { cwt = "/" } },
  }
  for path, options in pairs(wrong) do
    it("refuse a wrong " .. path, managed(function(pm)
      local err = expect.error("invalid_config", pm.create_pool, pm, "workers.pooled", options)
      expect.part(path, err.message)
      assert.is_nil(next(pm.pools))
    end))
  end

  it("leave min and size to each other", managed(function(pm)
    local pool = pm:create_pool("workers.pooled", { min = 2, max = 3 })
    assert.equal(2, pool.size)
    expect.part("from 2 to 3", expect.error("invalid_config", pool.scale, pool, 4).message)
    expect.error("invalid_config", pool.scale, pool, 1)
    pool:destroy()
    pool = pm:create_pool("workers.pooled", { size = "auto", max = 1 })
    assert.equal(1, pool.size)
    pool:destroy()
  end))

  it("say what warms a worker up, in each of its lives", pooled({ size = 2, warmup = "warm" },
    function(pool, pm)
      assert.equal(1, pool:warmed())
      pcall(pool.die, pool)
      proc.await("two workers again", function()
        return pool:metrics().idle == 2 and pool:metrics().workers[1].state == "up"
          and pool:metrics().workers[2].state == "up"
      end)
      assert.equal(1, pm:discover("pooled-1"):warmed())
      assert.equal(1, pm:discover("pooled-2"):warmed())
    end))

  it("take a function for that, and a failure as one of the start", managed(function(pm)
    local warmed = {}
    local pool = pm:create_pool("workers.pooled", { size = 2, warmup = function(worker)
      warmed[worker:who()] = true
    end })
    assert.same({ ["pooled-1"] = true, ["pooled-2"] = true }, warmed)
    pool:destroy()
    local err = expect.error("spawn_failed", pm.create_pool, pm, "workers.pooled", { size = 1,
      warmup = function(worker)
        worker:fail()
      end })
    expect.part({ "the warmup of worker", "on purpose" }, err.message)
    assert.is_nil(pm:discover "pooled-1")
  end))
end)

describe("the strategy", function()
  local spread = { "round_robin", "least_loaded", "least_connections", "weighted_round_robin",
    "least_response_time", "random", "weighted", "adaptive", "latency", "power_of_two" }
  for _, strategy in ipairs(spread) do
    it(strategy .. " spreads calls over the workers", pooled({ size = 3, strategy = strategy },
      function(pool)
        local _, different = tally(titan.all(calls(pool, 60, "sleep", 1)))
        assert.equal(3, different)
      end))
  end

  it("round_robin takes them in turn", pooled({ size = 3, strategy = "round_robin" },
    function(pool)
      local seen = {}
      for i = 1, 9 do
        seen[i] = pool:pid()
      end
      for i = 1, 6 do
        assert.equal(seen[i], seen[i + 3])
      end
      assert.equal(3, select(2, tally(seen)))
    end))

  it("weighted_round_robin takes them by their weights", pooled({
    size = 2, strategy = "weighted_round_robin", weights = { 3 } }, function(pool)
    local counts = tally(titan.all(calls(pool, 40, "who")))
    assert.same({ ["pooled-1"] = 30, ["pooled-2"] = 10 }, counts)
  end))

  for _, strategy in ipairs { "consistent_hash", "ip_hash" } do
    it(strategy .. " keeps a key with its worker", pooled({ size = 3, strategy = strategy },
      function(pool)
        local of_key, workers = {}, {}
        for i = 1, 30 do
          of_key[i] = pool:with({ key = "user-" .. i }):who()
          workers[of_key[i]] = true
        end
        assert.is_truthy(workers["pooled-1"] and workers["pooled-2"] and workers["pooled-3"])
        for i = 1, 30 do
          assert.equal(of_key[i], pool:with({ key = "user-" .. i }):who())
          assert.equal(of_key[i], pool:who("user-" .. i)) -- the first argument stands in
        end
        assert.equal(pool:with({ key = 7 }):who(), pool:with({ key = 7.0 }):who())
        local _, different = tally(titan.all(calls(pool, 60, "who")))
        assert.equal(3, different) -- no key at all
      end))
  end

  it("consistent_hash keeps keys over a restart and a replacement", pooled({
    size = 3, strategy = "consistent_hash" }, function(pool, pm)
    local of_key = {}
    for i = 1, 20 do
      of_key[i] = pool:with({ key = i }):who()
    end
    pcall(pool.die, pool)
    proc.await("three workers again", function()
      local up = 0
      for _, worker in ipairs(pool:metrics().workers) do
        up = up + (worker.state == "up" and 1 or 0)
      end
      return up == 3
    end)
    for i = 1, 20 do
      assert.equal(of_key[i], pool:with({ key = i }):who())
    end
    assert.is_truthy(pm)
  end))
end)

describe("calls that wait", function()
  it("are overloaded at once when there are too many", pooled({
    size = 1, max_concurrency = 1, max_queue_size = 5 }, function(pool)
    local path, go, clean = signal()
    local futures = calls(pool, 6, "wait_for", path)
    assert.equal(5, pool.pending)
    assert.equal(1, pool.active)
    local err = expect.error("overloaded", pool.echo, pool)
    expect.part("max_queue_size", err.message)
    assert.is_true(err.retryable)
    go()
    assert.same({ ok = 6 }, outcomes(futures))
    assert.equal(1, pool:metrics().rejected)
    assert.equal(0, pool.pending)
    clean()
  end))

  it("are none when the queue has no room", pooled({
    size = 1, max_concurrency = 1, max_queue_size = 0 }, function(pool)
    local first = pool.async:sleep(20)
    expect.error("overloaded", pool.echo, pool)
    first:await()
    assert.equal(1, pool:echo(1))
  end))

  it("all end when nobody calls any more", pooled({ size = 2, max_concurrency = 3 },
    function(pool)
      local futures = calls(pool, 300, "echo", 1)
      assert.same({ ok = 300 }, outcomes(futures))
      assert.equal(0, pool.active)
      assert.equal(0, pool.pending)
    end))

  it("end although those before them fail in every way", pooled({
    size = 1, max_concurrency = 1 }, function(pool)
    local futures = {}
    for i = 1, 100 do
      futures[i] = i % 4 == 0 and pool.async:echo(print) or i % 4 == 1 and pool.async:fail()
        or i % 4 == 2 and pool:with({ timeout = 1 }).async:sleep(30) or pool.async:echo(i)
    end
    futures[99]:cancel()
    futures[98]:cancel()
    local counts = outcomes(futures)
    assert.equal(2, counts.cancelled)
    assert.equal(25, counts.validation_failed)
    assert.equal(25, counts.remote_error)
    assert.equal(24, counts.timeout)
    assert.equal(24, counts.ok)
    assert.equal(1, pool:echo(1))
    assert.equal(0, pool:metrics().in_flight)
  end))

  it("are taken by their priority, then in their order", pooled({ size = 1, max_concurrency = 1 },
    function(pool)
      local order, futures = {}, { pool.async:sleep(10) }
      for i, priority in ipairs { 0, 5, -5, 5, 0, 1000, -1000 } do
        futures[#futures + 1] = titan.go(function()
          pool:with({ priority = priority }):echo()
          order[#order + 1] = i
        end)
      end
      titan.all(futures)
      assert.same({ 6, 2, 4, 1, 5, 3, 7 }, order)
      expect.error("invalid_config", pool.with, pool, { priority = 1.5 })
    end))

  it("time out in the queue, and later in the worker", pooled({
    size = 1, max_concurrency = 1, request_timeout = 50 }, function(pool)
    local futures = calls(pool, 2, "sleep", "1h")
    local waiting = pool:with({ timeout = 10 }).async:echo()
    local err = expect.error("timeout", waiting.await, waiting)
    expect.part("within 10 ms", err.message)
    for _, future in ipairs(futures) do
      expect.part("within 50 ms", expect.error("timeout", future.await, future).message)
    end
    assert.equal(1, pool:echo(1))
    local patient = pool:with({ timeout = false }).async:sleep(70)
    assert.is_number(patient:await())
  end))

  it("hold back no more than max_concurrency allows", pooled({ size = 2, max_concurrency = 2 },
    function(pool)
      local path, go, clean = signal()
      local futures = calls(pool, 10, "wait_for", path)
      assert.equal(4, pool:metrics().in_flight)
      assert.equal(6, pool.pending)
      assert.equal(2, pool.active)
      go()
      assert.same({ ok = 10 }, outcomes(futures))
      clean()
    end))
end)

describe("a pool's size", function()
  it("is what scale says", pooled({ size = 1 }, function(pool, pm)
    local next_scale = proc.listen(pm, "pool:scale")
    pool:scale(3)
    assert.equal(3, pool.size)
    assert.same({ pool = "pooled", from = 1, to = 3, reason = "scale" }, next_scale())
    local sleeping = { pool.async:sleep(30), pool.async:sleep(30), pool.async:sleep(30) }
    pool:scale(1)
    assert.equal(1, pool.size)
    local done = 0
    for _, call in ipairs(sleeping) do
      done = done + (call:done() and 1 or 0)
    end
    assert.is_true(done >= 2) -- those that leave finish their calls
    for _, slept in ipairs(titan.all(sleeping)) do
      assert.is_number(slept)
    end
    assert.equal(1, #pool:metrics().workers)
    expect.error("invalid_config", pool.scale, pool, 0)
    expect.error("invalid_config", pool.scale, pool, "two")
  end))

  it("shrinks to min when nobody calls", pooled({ size = 3, min = 1, idle_timeout = 40 },
    function(pool, pm)
      local next_scale = proc.listen(pm, "pool:scale")
      local last = next_scale()
      if last.to > 1 then
        last = next_scale()
      end
      assert.equal(1, last.to)
      assert.equal("idle_timeout", last.reason)
      assert.equal(1, pool:echo(1))
      assert.equal(1, pool.size)
    end))

  it("follows the load", pooled({
    min = 1, max = 3, max_concurrency = 1,
    auto_scale = { interval = 10, queue = 1, cooldown = 50, growth_cooldown = 0 },
  }, function(pool, pm)
    local next_scale = proc.listen(pm, "pool:scale")
    local path, go, clean = signal()
    local futures = calls(pool, 30, "wait_for", path)
    local up = next_scale()
    assert.equal("queue", up.reason)
    proc.await("three workers", function()
      return pool.size == 3
    end)
    go()
    assert.same({ ok = 30 }, outcomes(futures))
    proc.await("one worker", function()
      return pool.size == 1
    end)
    clean()
  end))
end)

describe("a pool that replaces its workers", function()
  it("reloads them one after the other and loses no call", pooled({ size = 3 }, function(pool)
    local before = tally(titan.all(calls(pool, 30, "pid")))
    local done, failed, served = false, {}, 0
    local load = titan.go(function()
      while not done do
        for _, future in ipairs(calls(pool, 5, "risky", 1)) do
          local ok, err = pcall(future.await, future)
          served = served + 1
          failed[#failed + 1] = not ok and tostring(err) or nil
        end
      end
    end)
    pool:reload()
    done = true
    load:await()
    assert.same({}, failed)
    assert.is_true(served > 0)
    assert.equal(3, pool.size)
    for _, pid in ipairs(titan.all(calls(pool, 30, "pid"))) do
      assert.is_nil(before[pid])
    end
  end))

  it("lets a second reload follow, and a scale be", pooled({ size = 2 }, function(pool)
    local most = 0
    local reloads = { titan.go(pool.reload, pool), titan.go(pool.reload, pool) }
    local scaling = titan.go(pool.scale, pool, 4)
    local watching = true
    local watch = titan.go(function()
      while watching do
        local up = 0
        for _, worker in ipairs(pool:metrics().workers) do
          up = up + (worker.state ~= "retiring" and 1 or 0)
        end
        most = math.max(most, up)
        titan.sleep(2)
      end
    end)
    titan.all(reloads)
    scaling:await()
    watching = false
    watch:await()
    assert.equal(4, pool.size)
    assert.is_true(most <= 5, most)
    local counts = outcomes(calls(pool, 20, "echo"))
    assert.same({ ok = 20 }, counts)
  end))

  it("keeps the old ones when the new ones do not start", function()
    local path, break_it, clean = signal()
    pooled({ size = 2, spawn_options = { options = { broken = path } } }, function(pool)
      local before = tally(titan.all(calls(pool, 20, "pid")))
      break_it()
      local err = expect.error("spawn_failed", pool.reload, pool)
      expect.part("broken on purpose", err.message)
      assert.equal(2, pool.size)
      for _, pid in ipairs(titan.all(calls(pool, 20, "pid"))) do
        assert.is_truthy(before[pid])
      end
    end)()
    clean()
  end)

  it("recycles after so many calls and loses none", pooled({ size = 2, recycle_after = 20 },
    function(pool)
      local pids, different = {}, 0
      proc.await("two generations", function()
        for _, pid in ipairs(titan.all(calls(pool, 10, "sleep", 1))) do
          different = different + (pids[pid] and 0 or 1)
          pids[pid] = true
        end
        return different >= 6
      end)
      assert.equal(0, pool:metrics().errors)
      assert.equal(2, pool.size)
    end))

  it("replaces those that are too old", pooled({ size = 1, max_lifetime = 60 }, function(pool)
    local first = pool:pid()
    proc.await("another worker", function()
      return pool:pid() ~= first
    end)
    assert.equal(0, pool:metrics().errors)
  end))

  it("replaces those that are too large, and warns before", pooled({
    size = 1, memory_limit = "60MB", memory_warning_threshold = 0.9 }, function(pool, pm)
    local next_warning = proc.listen(pm, "pool:memory")
    local first = pool:grow(80 << 20)
    local warning = next_warning()
    assert.equal("pooled-1", warning.name)
    assert.is_true(warning.memory > 54 << 20)
    proc.await("another worker", function()
      return pool:pid() ~= first
    end)
  end))
end)

describe("the end of a pool", function()
  it("drain takes no new calls and finishes the others", pooled({ size = 1, max_concurrency = 1 },
    function(pool)
      local futures = calls(pool, 5, "risky", 1, 5)
      local drain = titan.go(pool.drain, pool)
      expect.error("shutting_down", pool.echo, pool)
      assert.is_true(drain:await())
      for _, future in ipairs(futures) do
        assert.is_true(future:done())
        assert.equal(1, future:await())
      end
      assert.is_true(pool:drain())
      pool:destroy()
      expect.error("destroyed", pool.drain, pool)
    end))

  it("destroy ends a thousand waiting calls at once", pooled({
    size = 1, max_concurrency = 1, max_queue_size = 2000 }, function(pool, pm)
    local under_way = pool.async:sleep(30)
    local futures = calls(pool, 1000, "echo")
    local pid = pm:get_process_info("pooled-1").pid
    assert.is_true(pool:destroy())
    assert.same({ destroyed = 1000 }, outcomes(futures))
    assert.equal(pid, under_way:await())
    assert.is_false(proc.alive(pid))
    assert.is_true(pool:destroy())
    assert.is_nil(pm:discover "pooled")
    assert.equal(0, pool.size)
    expect.error("destroyed", pool.reload, pool)
  end))

  it("destroy kills at its deadline", pooled({ size = 1 }, function(pool)
    local call = pool.async:sleep("1h")
    pool:destroy(20)
    expect.error("worker_lost", call.await, call)
  end))
end)

describe("a pool as a service of workers", function()
  it("takes their calls, which wait like others", pooled({ size = 2, max_concurrency = 1 },
    function(_, pm)
      local caller = pm:spawn("workers.caller", { dependencies = { "pooled" } })
      assert.equal("x", caller:call("pooled", "echo", "x"))
      local pids = {}
      for i, future in ipairs(calls(caller, 12, "call", "pooled", "sleep", 2)) do
        pids[i] = future:await()
      end
      assert.equal(2, select(2, tally(pids)))
      local failure = caller:failure("pooled", "fail")
      assert.equal("remote_error", failure.code)
      assert.equal("worker_lost", caller:failure("pooled", "die").code)
      assert.equal("x", caller:call("pooled", "echo", "x"))
    end))

  it("gives up what its callers give up", pooled({ size = 1, max_concurrency = 1 },
    function(pool, pm)
      local caller = pm:spawn "workers.caller"
      local under_way = caller.async:call_within(30, "pooled", "sleep", "1h")
      local waiting = caller.async:call_within(20, "pooled", "echo")
      expect.error("timeout", waiting.await, waiting)
      expect.error("timeout", under_way.await, under_way)
      proc.await("an idle pool", function()
        return pool.pending == 0 and pool.active == 0
      end)
      local orphan = caller.async:call("pooled", "sleep", "1h")
      local queued = caller.async:call("pooled", "echo")
      proc.await("a call that waits", function()
        return pool.pending == 1
      end)
      pm:kill "caller"
      expect.error("worker_lost", orphan.await, orphan)
      expect.error("worker_lost", queued.await, queued)
      assert.equal(0, pool.pending)
      assert.equal(1, pool:echo(1))
    end))

  it("refuses them as it refuses others", pooled({
    size = 1, max_concurrency = 1, max_queue_size = 1 }, function(pool, pm)
    local caller = pm:spawn "workers.caller"
    local futures = calls(caller, 2, "call", "pooled", "sleep", "1h")
    proc.await("a call that waits", function()
      return pool.pending == 1
    end)
    assert.equal("overloaded", caller:failure("pooled", "echo").code)
    pool:destroy(0)
    assert.same({ destroyed = 1, worker_lost = 1 }, outcomes(futures))
  end))
end)

describe("calls of a pool", function()
  it("leave a tidy heap behind", pooled({ size = 1 }, function(pool)
    for _ = 1, 100 do
      pool:with({ key = luv.hrtime() }):echo()
    end
    assert.equal(pool:with { timeout = 5 }, pool:with { timeout = 5 })
    assert.equal(pool:with { priority = 2 }, pool:with { priority = 2 })
  end))
end)
