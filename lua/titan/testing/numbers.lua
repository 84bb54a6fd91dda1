--- What a mock process has done, in the shape in which a real one's numbers come.

local core = require "titan.core"

local numbers = {}

local SAMPLES_MAX <const> = 1024 -- kept of each method, the newest
local LAST_CALLS_MAX <const> = 16

---@class titan.MockNumbers
---@field calls integer
---@field errors integer
---@field in_flight integer
---@field package methods table<string, table>
---@field package last table[] newest first
local Numbers = {}
Numbers.__index = Numbers

---@param method string
---@return table what to give to `ended`
function Numbers:begun(method)
  local of = self.methods[method] or { calls = 0, errors = 0, in_flight = 0, took = {}, count = 0 }
  self.methods[method] = of
  of.calls, of.in_flight = of.calls + 1, of.in_flight + 1
  self.calls, self.in_flight = self.calls + 1, self.in_flight + 1
  local call = { method = method, of = of, began = core.monotonic_ms() }
  table.insert(self.last, 1, call)
  self.last[LAST_CALLS_MAX + 1] = nil
  return call
end

---@param call table
---@param failed boolean
function Numbers:ended(call, failed)
  local of = call.of
  call.took, call.failed = core.monotonic_ms() - call.began, failed
  of.in_flight, self.in_flight = of.in_flight - 1, self.in_flight - 1
  of.errors, self.errors = of.errors + (failed and 1 or 0), self.errors + (failed and 1 or 0)
  of.count = of.count + 1
  of.took[(of.count - 1) % SAMPLES_MAX + 1] = call.took
end

---@param samples number[]
---@return titan.Latency
function numbers.latency(samples)
  local sorted = table.move(samples, 1, #samples, 1, {})
  table.sort(sorted)
  local sum = 0
  for _, ms in ipairs(sorted) do
    sum = sum + ms
  end
  local function quantile(share)
    return sorted[math.max(1, math.ceil(share * #sorted))] or 0
  end
  return {
    count = #sorted, mean = #sorted > 0 and sum / #sorted or 0, p50 = quantile(0.5),
    p75 = quantile(0.75), p90 = quantile(0.9), p95 = quantile(0.95), p99 = quantile(0.99),
    max = quantile(1),
  }
end

---@return integer bytes of the whole Lua state: mock processes share it
local function lua_heap()
  return math.floor(collectgarbage "count" * 1024)
end

--- As get_metrics gives it, but for what only a real process has.
---@param restarts integer
---@param uptime number
---@param with_latency boolean
---@return titan.Metrics
function Numbers:metrics(restarts, uptime, with_latency)
  local methods, all = {}, {}
  for name, of in pairs(self.methods) do
    methods[name] = { calls = of.calls, errors = of.errors, in_flight = of.in_flight,
      latency = with_latency and numbers.latency(of.took) or nil }
    table.move(of.took, 1, #of.took, #all + 1, all)
  end
  return {
    calls = self.calls, errors = self.errors, in_flight = self.in_flight,
    latency = with_latency and numbers.latency(all) or nil, memory = { lua_heap = lua_heap() },
    restarts = restarts, uptime = uptime, methods = methods,
  }
end

--- As `activity` of get_process_info.
---@return table
function Numbers:activity()
  local now, last = core.monotonic_ms(), {}
  for i, call in ipairs(self.last) do
    last[i] = { method = call.method, ago_ms = now - call.began, took_ms = call.took,
      failed = call.failed }
  end
  return {
    calls = self.calls, errors = self.errors, in_flight = self.in_flight, lua_heap = lua_heap(),
    last_calls = last,
  }
end

---@return titan.MockNumbers
function numbers.new()
  return setmetatable({ calls = 0, errors = 0, in_flight = 0, methods = {}, last = {} }, Numbers)
end

return numbers
