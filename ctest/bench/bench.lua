--- Measures one side of Titan and prints what it found, a JSON line a figure, as the floors do.
--
-- usage: titan run ctest/bench/bench.lua SECTION
--   SECTION  one of this file (spawn, roundtrip, throughput, echo, memory, kill, pool, parallel,
--            idle), or of sections/ (annotations, idempotent, sqlite, streams, worker, thread,
--            actors, buffers, limits)
--
-- With BENCH_QUICK in the environment everything is fewer and shorter, and so less exact.
-- scripts/bench runs it beside the floors of ctest/bench and makes a table of both.

local calling = require "calling"
local core = require "titan.core"
local luv = require "luv"
local measuring = require "measuring"
local tasks = require "titan.tasks"
local titan = require "titan"

local now_ms = core.monotonic_ms
local median, report = measuring.median, measuring.report
local report_latency, sample = measuring.report_latency, measuring.sample

local spawn_and_call, spawn_together = calling.spawn_and_call, calling.spawn_together

local CLASS <const> = calling.CLASS
local IN_FLIGHT <const> = calling.IN_FLIGHT
local PAYLOAD <const> = 1 << 20

-- How much of everything, thoroughly and quickly.
local THOROUGH <const> = {
  warm_up = 2000, round_trips = 20000, spawns = 500, bursts = 3, kills = 300, echoes = 500,
  seconds = 2, pool_calls = 100000, pool_rounds = 5, blocks = 15, block_calls = 20000,
  block_round_trips = 1000, items = 200000, asks = 20000, idle_actors = 100000,
}
local QUICK <const> = {
  warm_up = 500, round_trips = 2000, spawns = 200, bursts = 1, kills = 100, echoes = 100,
  seconds = 0.5, pool_calls = 30000, pool_rounds = 3, blocks = 9, block_calls = 10000,
  block_round_trips = 300, items = 50000, asks = 5000, idle_actors = 2000,
}

-- What is found -------------------------------------------------------------------------

--- Proportional share of memory.
---@param pid integer|"self"
---@return integer KiB
local function pss(pid)
  local file <close> = assert(io.open("/proc/" .. pid .. "/smaps_rollup"))
  return math.tointeger(file:read("a"):match("\nPss:%s*(%d+) kB"))
end

--- CPU time of this process.
---@return number seconds
local function cpu_seconds()
  local usage = luv.getrusage()
  return usage.utime.sec + usage.stime.sec + (usage.utime.usec + usage.stime.usec) / 1e6
end

-- Sections ------------------------------------------------------------------------------

local sections = {}

--- One worker after the other, then bursts of 200 at once.
function sections.spawn(pm, size)
  report_latency("spawn", "one", sample(20, size.spawns, function()
    return calling.spawn_once(pm)
  end))
  local bursts = sample(1, size.bursts, function()
    local start = now_ms()
    spawn_together(pm, 200)
    local took = now_ms() - start
    pm:stop_all(0)
    return took
  end)
  report("spawn", "burst", { count = 200, per_s = 200 / (median(bursts) / 1000) })
end

--- One call after the other.
function sections.roundtrip(pm, size)
  local worker = spawn_and_call(pm)
  report_latency("roundtrip", "call", sample(size.warm_up, size.round_trips, function()
    worker:add(1, 2)
  end))
end

function sections.throughput(pm, size)
  for count, mode in ipairs { "one_worker", "two_workers" } do
    local per_second = calling.rate(spawn_together(pm, count), size.seconds)
    report("throughput", mode, { in_flight = IN_FLIGHT * count, per_s = per_second })
    pm:stop_all(0)
  end
end

function sections.echo(pm, size)
  local worker = spawn_and_call(pm)
  local payload = ("x"):rep(PAYLOAD)
  local per_s = calling.echo_rate(payload, size.echoes, function(given)
    return worker:echo(given)
  end)
  report("echo", "1mib", { count = size.echoes, mib_per_s = per_s })
end

--- Idle workers after their first call, and what manages them.
function sections.memory(pm)
  local pids, samples = {}, {}
  for i, worker in ipairs(spawn_together(pm, 50)) do
    pids[i] = pm:get_process_info(worker:__id()).pid
  end
  collectgarbage()
  titan.sleep(100)
  for i, pid in ipairs(pids) do
    samples[i] = pss(pid)
  end
  report("memory", "worker", { count = #samples, pss_kib = median(samples) })
  report("memory", "manager", { pss_kib = pss "self" })
  report("memory", "zygote", { pss_kib = pss(core.manager_zygote_pid(pm.handle)) })
end

-- Kills a worker again and again, each time when it has served for so long since its last life's
-- first answer.
---@param pm titan.Manager
---@param kills integer
---@param served_ms integer
---@return number[] noticed ms from the kill to the crash event
---@return number[] replaced ms from the kill to the first answer of the next life
local function kill_again_and_again(pm, kills, served_ms)
  local noticed, replaced, killed_ms, finish = {}, {}, nil, nil
  local worker = pm:spawn(CLASS, {
    restart_policy = { delay = 0, max_restarts = 1000000, backoff = { initial = 0 } },
  })
  local on_crash = pm:on("process:crash", function()
    noticed[#noticed + 1] = now_ms() - killed_ms
  end)
  local on_restart = pm:on("process:restart", function()
    assert(worker:add(1, 2) == 3)
    replaced[#replaced + 1] = now_ms() - killed_ms
    finish(true)
  end)
  sample(0, 20 + kills, function()
    local replacement
    replacement, finish = tasks.promise()
    titan.sleep(served_ms)
    killed_ms = now_ms()
    pm:kill(worker:__id())
    replacement:await()
  end)
  pm:off("process:crash", on_crash)
  pm:off("process:restart", on_restart)
  pm:stop_all(0)
  return table.move(noticed, 21, #noticed, 1, {}), table.move(replaced, 21, #replaced, 1, {})
end

--- SIGKILL to the crash event, and on to the first answer of the worker in its next life: of one
--- that has served for a while, and of one that is killed as soon as it has answered.
function sections.kill(pm, size)
  local noticed, replaced = kill_again_and_again(pm, size.kills, 25)
  report_latency("kill", "notify", noticed)
  report_latency("kill", "replace", replaced)
  report_latency("kill", "at_once", select(2, kill_again_and_again(pm, size.kills, 0)))
end

-- The manager's CPU time for a call, with 128 under way.
---@param size table
---@param call fun()
---@return number us
local function cpu_of_call(size, call)
  local left, futures = size.pool_calls, {}
  local before = cpu_seconds()
  for i = 1, IN_FLIGHT do
    futures[i] = titan.go(function()
      while left > 0 do
        left = left - 1
        call()
      end
    end)
  end
  titan.all(futures)
  return (cpu_seconds() - before) / size.pool_calls * 1e6
end

--- What a call through a pool costs the manager more than one made directly to the same number of
--- workers, in turn.
function sections.pool(pm, size)
  for _, count in ipairs { 2, 200 } do
    local workers, turn, differences = spawn_together(pm, count), 0, {}
    local pool = pm:create_pool(CLASS, {
      size = count, max_concurrency = IN_FLIGHT, strategy = "round_robin",
    })
    for i = 0, size.pool_rounds do
      local direct = cpu_of_call(size, function()
        turn = turn % count + 1
        workers[turn]:add(1, 2)
      end)
      local pooled = cpu_of_call(size, function()
        pool:add(1, 2)
      end)
      if i > 0 then -- after a warm-up
        differences[i] = pooled - direct
      end
    end
    report("pool", "of_" .. count, { workers = count, added_us = median(differences) })
    pm:stop_all(0)
  end
end

--- Work that takes 100 us of CPU each, on a pool of one and of two.
function sections.parallel(pm, size)
  local rates = {}
  for count = 1, 2 do
    local pool = pm:create_pool(CLASS, { size = count, max_concurrency = 8 })
    local calls, running, futures = 0, true, {}
    for i = 1, 8 * count do
      futures[i] = titan.go(function()
        while running do
          pool:burn(100)
          calls = calls + 1
        end
      end)
    end
    titan.sleep(100) -- warm-up
    local start, before = now_ms(), calls
    titan.sleep(math.ceil(size.seconds * 1000))
    rates[count] = (calls - before) / (now_ms() - start) * 1000
    running = false
    titan.all(futures)
    pool:destroy(0)
  end
  report("parallel", "burn", { one_per_s = rates[1], two_per_s = rates[2],
    times = rates[2] / rates[1] })
end

--- What a manager at rest uses of a CPU.
function sections.idle(pm, size)
  local workers = spawn_together(pm, 1000)
  titan.sleep(300)
  local cpu, start = cpu_seconds(), now_ms()
  titan.sleep(math.ceil(size.seconds * 1000))
  local share = (cpu_seconds() - cpu) / (now_ms() - start) * 1000
  report("idle", "manager", { workers = #workers, cpu_percent = share * 100 })
end

-- ---------------------------------------------------------------------------------------

-- Those that are files of their own: `run` as the functions above, `config` of the manager.
local FILES <const> = {
  annotations = true, idempotent = true, sqlite = true, streams = true, worker = true,
  thread = true, actors = true, buffers = true, limits = true,
}

local name = ...
local section = FILES[name] and require("sections." .. name) or { run = sections[name] }
if not section.run then
  error("usage: titan run bench.lua SECTION", 0)
end
local config = section.config and section.config() or {}
config.logs = { format = "none" }
local manager = titan.manager(config)
section.run(manager, os.getenv "BENCH_QUICK" and QUICK or THOROUGH)
manager:stop_all(0)
