--- What the annotation metric counts in a mock process: in place of the memory that a worker shares
--- with its manager. The functions are those of titan.core with the same names.

local core = require "titan.core"
local key = require "titan.metric.key"
local numbers = require "titan.testing.numbers"

local series = {}

local SLOTS_MAX <const>, RESERVED <const> = 256, 64 -- as a worker has them

---@class titan.MockSeries: titan.SlotSink
---@field package slots { kind: titan.MetricKind, key: string, value: integer, took: number[] }[]

---@param latencies table<string, number[]> by name
---@param one table
---@return titan.Series
local function shown(latencies, one)
  local name, labels = key.parse(one.key)
  local seen = { name = name, labels = labels, key = one.key, kind = one.kind }
  if one.kind == "counter" then
    seen.value = one.value
    return seen
  end
  seen.latency = numbers.latency(one.took)
  local all = latencies[name] or {}
  latencies[name] = table.move(one.took, 1, #one.took, #all + 1, all)
  return seen
end

--- Puts into metrics what a real worker's have of its series.
---@param slots table[]
---@param metrics titan.Metrics
local function add_to(slots, metrics)
  local latencies = {}
  metrics.series, metrics.counters, metrics.histograms = {}, {}, {}
  for i, slot in ipairs(slots) do
    local one = shown(latencies, slot)
    metrics.series[i] = one
    if one.value then
      metrics.counters[one.name] = (metrics.counters[one.name] or 0) + one.value
    end
  end
  for name, took in pairs(latencies) do
    metrics.histograms[name] = numbers.latency(took)
  end
  table.sort(metrics.series, function(a, b)
    return a.key < b.key
  end)
end

---@return titan.MockSeries
function series.new()
  local slots, new = {}, {}

  function new.series(kind, text, reserved)
    if #slots >= (reserved and SLOTS_MAX or SLOTS_MAX - RESERVED) then
      return nil
    end
    slots[#slots + 1] = { kind = kind, key = text, value = 0, took = {} }
    return #slots
  end

  function new.series_add(slot, n)
    slots[slot].value = slots[slot].value + (n or 1)
  end

  function new.series_took(slot, started_ms, counter)
    table.insert(slots[slot].took, core.monotonic_ms() - started_ms)
    if counter then
      new.series_add(counter)
    end
  end

  function new:add_to(metrics)
    add_to(slots, metrics)
  end

  return new
end

return series
