local core = require "titan.core"
local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

local MB <const> = 1 << 20

-- A worker whose call of `method` is under way.
local function await_in_flight(pm, key, method)
  proc.await(method .. " in flight", function()
    local of = pm:get_metrics(key).methods[method]
    return of and of.in_flight > 0
  end)
end

-- What the kernel says of its memory, in bytes.
local function kernel_memory(pid)
  local text = proc.read("/proc/" .. pid .. "/smaps_rollup")
  return 1024 * math.tointeger(text:match "\nRss:%s*(%d+) kB"),
    1024 * math.tointeger(text:match "\nPss:%s*(%d+) kB")
end

-- Another count of the same; the kernel's quick one may be off by some pages a processor.
local function assert_about(expected, given)
  assert.equal("integer", math.type(given))
  assert.is_true(math.abs(given - expected) < 4 * MB, given .. " is far from " .. expected)
end

describe("pm:get_metrics", function()
  it("counts calls, by method too", managed(function(pm)
    local worker = pm:spawn "workers.failing"
    for _ = 1, 3 do
      worker:alive()
    end
    pcall(worker.with_text, worker)
    pcall(worker.with_text, worker)
    local metrics = pm:get_metrics "failing"
    assert.equal(5, metrics.calls)
    assert.equal(2, metrics.errors)
    assert.equal(0, metrics.in_flight)
    assert.equal(5, metrics.latency.count)
    local alive, with_text = metrics.methods.alive, metrics.methods.with_text
    assert.equal(3, alive.calls)
    assert.equal(0, alive.errors)
    assert.equal(0, alive.in_flight)
    assert.equal(3, alive.latency.count)
    assert.equal(2, with_text.calls)
    assert.equal(2, with_text.errors)
    assert.equal(2, with_text.latency.count)
    metrics.methods.alive, metrics.methods.with_text = nil, nil
    assert.same({}, metrics.methods)
  end))

  it("knows how long calls take", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    worker:rest "50ms"
    worker:rest "50ms"
    for _ = 1, 8 do
      worker:count()
    end
    local metrics = pm:get_metrics "gate"
    local rest = metrics.methods.rest.latency
    for _, name in ipairs { "mean", "p50", "p75", "p90", "p95", "p99", "max" } do
      assert.equal("float", math.type(rest[name]))
      assert.is_true(rest[name] >= 45 and rest[name] < 40000, name .. " = " .. rest[name])
    end
    local all = metrics.latency
    assert.equal(10, all.count)
    assert.is_true(all.p50 < 45)
    assert.is_true(all.p95 >= 45)
    local last = 0
    for _, name in ipairs { "p50", "p75", "p90", "p95", "p99", "max" } do
      assert.is_true(all[name] >= last)
      last = all[name]
    end
    assert.is_true(all.mean >= 9 and all.mean < all.max)
  end))

  it("knows what is in flight", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    local futures = { worker.async:pass(), worker.async:pass() }
    worker:count()
    local metrics = pm:get_metrics "gate"
    assert.equal(2, metrics.in_flight)
    assert.equal(2, metrics.methods.pass.in_flight)
    assert.equal(2, metrics.methods.pass.calls)
    assert.equal(0, metrics.methods.pass.latency.count)
    assert.equal(0, metrics.methods.pass.latency.p50)
    assert.equal(0, metrics.methods.count.in_flight)
    worker:open()
    titan.all(futures)
    metrics = pm:get_metrics "gate"
    assert.equal(0, metrics.in_flight)
    assert.equal(2, metrics.methods.pass.latency.count)
  end))

  it("has one entry for all methods that have none of their own", managed(function(pm)
    local worker = pm:spawn "workers.many"
    local caller = pm:spawn "workers.caller"
    worker:m01()
    worker:m69()
    worker:m70()
    assert.equal("method_not_found", caller:failure("many", "nonsense").code)
    local methods = pm:get_metrics("many").methods
    assert.equal(1, methods.m01.calls)
    assert.is_nil(methods.m70)
    assert.equal(3, methods["(others)"].calls)
    assert.equal(1, methods["(others)"].errors)
    assert.equal(3, methods["(others)"].latency.count)
  end))

  it("tells methods apart whose names were cut", managed(function(pm)
    local worker = pm:spawn "workers.many"
    local first, second = ("a"):rep(40) .. "1", ("a"):rep(40) .. "2"
    worker[first](worker)
    worker[second](worker)
    worker[second](worker)
    local methods = pm:get_metrics("many").methods
    assert.equal(1, methods[("a"):rep(31)].calls)
    assert.equal(2, methods[("a"):rep(31) .. " (1)"].calls)
  end))

  it("knows what the process uses", managed(function(pm)
    local worker = pm:spawn "workers.caller"
    worker:run "return 1"
    local before = pm:get_metrics "caller"
    local rss, pss = kernel_memory(pm:get_process_info("caller").pid)
    assert_about(rss, before.memory.rss)
    assert_about(pss, before.memory.pss)
    assert.is_true(before.memory.pss < before.memory.rss)
    worker:run "KEPT = ('x'):rep(32 << 20)"
    local after = pm:get_metrics "caller"
    for _, name in ipairs { "rss", "pss", "lua_heap" } do
      assert.is_true(after.memory[name] - before.memory[name] > 30 * MB, name)
    end
    assert.equal(0, after.restarts)
    assert.equal("float", math.type(after.uptime))
    assert.is_true(after.uptime > before.uptime)
  end))

  it("does not wait for a worker that is busy", managed(function(pm)
    local worker = pm:spawn "workers.caller"
    local busy = worker.async:run "while true do end"
    await_in_flight(pm, "caller", "run")
    local cpu = pm:get_metrics("caller").cpu
    proc.await("time on a processor", function()
      local now = pm:get_metrics("caller").cpu
      return now.user_ms + now.system_ms > cpu.user_ms + cpu.system_ms + 50
    end)
    local metrics = pm:get_metrics "caller"
    assert.equal("run", pm:get_process_info("caller").activity.running.method)
    assert.equal(1, metrics.in_flight)
    local used = metrics.cpu.user_ms + metrics.cpu.system_ms
    assert.is_true(metrics.cpu.percent > 0)
    assert.is_true(math.abs(metrics.cpu.percent - used / metrics.uptime * 100) < 1)
    pm:kill "caller"
    expect.error("worker_lost", busy.await, busy)
  end))

  it("reads a worker that is stopped", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    worker:echo()
    pm:kill("echo", "SIGSTOP")
    proc.await_stopped(pm:get_process_info("echo").pid)
    local metrics = pm:get_metrics "echo"
    assert.equal(1, metrics.methods.echo.calls)
    assert.is_true(metrics.memory.pss > 0)
    pm:kill("echo", "SIGKILL")
  end))

  it("tells of a process that has not begun", managed(function(pm)
    local starting = titan.go(pm.spawn, pm, "workers.starting")
    local metrics = pm:get_metrics "w1"
    assert.equal(0, metrics.calls)
    assert.equal(0, metrics.latency.count)
    assert.is_nil(metrics.cpu)
    assert.same({ lua_heap = 0 }, metrics.memory)
    assert.same({}, metrics.methods)
    starting:await()
    assert.truthy(pm:get_metrics("w1").cpu)
  end))

  it("tells of a process that has ended, by its id", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    worker:count()
    local lost = worker.async:pass()
    await_in_flight(pm, "gate", "pass")
    pm:kill "gate"
    expect.error("worker_lost", lost.await, lost)
    local metrics = pm:get_metrics "w1"
    assert.equal(2, metrics.calls)
    assert.equal(1, metrics.methods.count.latency.count)
    assert.equal(1, metrics.in_flight) -- what it died in
    assert.is_nil(metrics.cpu)
    assert.is_nil(metrics.memory.rss)
    assert.is_nil(metrics.memory.pss)
    assert.is_true(metrics.memory.lua_heap > 0)
    assert.equal(pm:get_process_info("w1").uptime, metrics.uptime)
    assert.same(metrics, worker:__metrics())
    assert.is_nil(pm:get_metrics "gate")
  end))

  it("without a key tells of all that live", managed(function(pm)
    local first, second = pm:spawn "workers.echo", pm:spawn "workers.echo"
    pm:spawn("workers.gate"):__destroy()
    first:echo()
    second:echo()
    second:echo()
    local all = pm:get_metrics()
    assert.equal(1, all[first:__id()].calls)
    assert.equal(2, all[second:__id()].calls)
    assert.truthy(all[second:__id()].memory.pss)
    all[first:__id()], all[second:__id()] = nil, nil
    assert.same({}, all)
  end))

  it("is nil for what there is not", managed(function(pm)
    assert.is_nil(pm:get_metrics "nobody")
    assert.is_nil(pm:get_metrics "w1")
    assert.same({}, pm:get_metrics())
  end))

  it("wants an id or a name", managed(function(pm)
    for _, key in ipairs { 5, true, {} } do
      expect.part("expected the id or the name of a process",
        expect.error("invalid_config", pm.get_metrics, pm, key).message)
    end
  end))

  it("raises when the manager has been closed", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    pm:close()
    expect.error("destroyed", pm.get_metrics, pm)
    expect.error("destroyed", pm.get_metrics, pm, "echo")
    expect.error("destroyed", worker.__metrics, worker)
  end))
end)

describe("proxy:__metrics", function()
  it("is of its process", managed(function(pm)
    local first, second = pm:spawn "workers.echo", pm:spawn "workers.echo"
    first:echo()
    second:echo()
    second:count()
    assert.equal(1, first:__metrics().calls)
    assert.equal(2, second:__metrics().calls)
    assert.equal(1, second:__metrics().methods.count.calls)
    assert.equal(2, second:with({ timeout = "1s" }):__metrics().calls)
  end))
end)

describe("the metrics of pm:get_process_info", function()
  it("are a short form", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    worker:rest "50ms"
    worker:rest "50ms"
    expect.error("invalid_config", worker.rest, worker, {})
    local metrics = pm:get_process_info("gate").metrics
    assert.is_true(metrics.latency.p50 >= 45)
    assert.is_true(metrics.latency.p99 >= metrics.latency.p50)
    metrics.latency = nil
    assert.same({ calls = 3, errors = 1, in_flight = 0 }, metrics)
  end))
end)

describe("monitoring.metrics = false", function()
  it("does without latencies", managed({ monitoring = { metrics = false } }, function(pm)
    local worker = pm:spawn "workers.echo"
    worker:echo()
    worker:echo()
    local metrics = pm:get_metrics "echo"
    assert.equal(2, metrics.calls)
    assert.equal(2, metrics.methods.echo.calls)
    assert.is_nil(metrics.latency)
    assert.is_nil(metrics.methods.echo.latency)
    assert.truthy(metrics.cpu)
    assert.same({ calls = 2, errors = 0, in_flight = 0 }, pm:get_process_info("echo").metrics)
    -- The worker does not even keep them.
    local process = core.manager_find(pm.handle, "echo")
    assert.equal(0, core.process_metrics(process, true).latency.count)
    assert.equal(0, core.process_metrics(process, true).methods.echo.latency.count)
  end))
end)
