--- Workers of the class bench_worker, and calls that they get.

local core = require "titan.core"
local titan = require "titan"

local now_ms = core.monotonic_ms

local calling = {}

calling.CLASS = "bench_worker"
calling.IN_FLIGHT = 128

---@param pm titan.Manager
---@param options table? of the spawn
---@return table proxy of a worker that has answered
function calling.spawn_and_call(pm, options)
  local worker = pm:spawn(calling.CLASS, options)
  assert(worker:add(1, 2) == 3)
  return worker
end

---@param pm titan.Manager
---@param count integer
---@return table[] proxies of workers that have answered
function calling.spawn_together(pm, count)
  local futures = {}
  for i = 1, count do
    futures[i] = titan.go(calling.spawn_and_call, pm)
  end
  return titan.all(futures)
end

--- From a spawn's beginning to its first answer.
---@param pm titan.Manager
---@param options table? of the spawn
---@return number ms
function calling.spawn_once(pm, options)
  local start = now_ms()
  local worker = calling.spawn_and_call(pm, options)
  local took = now_ms() - start
  pm:stop_process(worker:__id(), 0)
  return took
end

--- Each of 128 tasks a worker calls as often as it can.
---@param workers table[]
---@param seconds number
---@return number calls a second
function calling.rate(workers, seconds)
  local calls, running, futures = 0, true, {}
  for _, worker in ipairs(workers) do
    for _ = 1, calling.IN_FLIGHT do
      futures[#futures + 1] = titan.go(function()
        while running do
          worker:add(1, 2)
          calls = calls + 1
        end
      end)
    end
  end
  titan.sleep(250) -- warm-up
  local start, before = now_ms(), calls
  titan.sleep(math.ceil(seconds * 1000))
  local per_second = (calls - before) / (now_ms() - start) * 1000
  running = false
  titan.all(futures)
  return per_second
end

--- Echoes a second, one after the other.
---@param payload string
---@param echoes integer
---@param echo fun(payload: string): any what came back
---@return number
function calling.echo_rate(payload, echoes, echo)
  for _ = 1, echoes // 10 do -- warm-up
    assert(echo(payload) == payload)
  end
  local start = now_ms()
  for _ = 1, echoes do
    echo(payload)
  end
  return echoes / (now_ms() - start) * 1000
end

return calling
