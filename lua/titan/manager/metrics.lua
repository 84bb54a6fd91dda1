--- What processes have done and what they use. These are methods of titan.Manager.
--
-- All of it is read from shared memory and from the kernel: a worker that is busy, stopped or
-- hung is read like any other, and notices nothing.

local core = require "titan.core"
local series_key = require "titan.metric.key"

---@class titan.Latency of calls that ended, in ms from the request's arrival in the worker to
--- its answer; off by less than an eighth, longer than 73 minutes counts as 73 minutes
---@field count integer
---@field mean number
---@field p50 number
---@field p75 number
---@field p90 number
---@field p95 number
---@field p99 number
---@field max number

---@class titan.MethodMetrics
---@field calls integer begun, those in flight and those refused among them
---@field errors integer of those ended
---@field in_flight integer begun and not ended
---@field latency? titan.Latency unless monitoring.metrics is false

---@class titan.Metrics: titan.MethodMetrics
---@field cpu? { user_ms: number, system_ms: number, percent: number } percent of one processor,
--- as a mean over its life; while there is a process
---@field memory { rss: integer?, pss: integer?, lua_heap: integer } bytes; rss and pss while
--- there is a process
---@field restarts integer
---@field uptime number ms
---@field methods table<string, titan.MethodMetrics> of those called so far; under "(others)"
--- those after the 64th, and calls of what is no method
---@field series titan.Series[] what the annotation metric counts and measures, by name and labels
---@field counters table<string, integer> by name, over all labels
---@field histograms table<string, titan.Latency> by name, over all labels

---@class titan.Series
---@field name string
---@field kind "counter"|"histogram"
---@field labels table<string, string> { overflow = "true" } for what has no series of its own
---@field key string name and labels as text: `images.resized{format="png"}`
---@field value? integer of a counter
---@field latency? titan.Latency of a histogram

---@class titan.Manager
local Manager = {}

---@param process userdata
---@return { calls: integer, errors: integer, in_flight: integer, latency: { p50: number,
--- p99: number }? }?
function Manager:_metrics_summary(process)
  return core.process_metrics_summary(process, self.config.monitoring.metrics)
end

---@param process userdata
---@return titan.Series[]
---@return table<string, integer[]> slots of the histograms, by name
local function read_series(process)
  local series, slots = {}, {}
  for _, one in ipairs(core.process_series(process) or {}) do
    one.name, one.labels = series_key.parse(one.key)
    if one.name then
      series[#series + 1] = one
      if one.kind == "histogram" then
        slots[one.name] = slots[one.name] or {}
        table.insert(slots[one.name], one.slot)
      end
      one.slot = nil
    end
  end
  table.sort(series, function(a, b)
    return a.key < b.key
  end)
  return series, slots
end

-- The user's own metrics: the series, and what they are together.
---@param metrics titan.Metrics
---@param process userdata
local function add_series(metrics, process)
  local series, slots = read_series(process)
  metrics.series, metrics.counters, metrics.histograms = series, {}, {}
  for _, one in ipairs(series) do
    if one.kind == "counter" then
      metrics.counters[one.name] = (metrics.counters[one.name] or 0) + one.value
    end
  end
  for name, list in pairs(slots) do
    metrics.histograms[name] = core.process_series_sum(process, list).latency
  end
end

---@param process userdata
---@return titan.Metrics?
---@return string? id
function Manager:_metrics(process)
  local metrics = core.process_metrics(process, self.config.monitoring.metrics)
  if not metrics then
    return nil
  end
  local info = self:_info(self.services[process], process)
  metrics.restarts = info.restart_count
  add_series(metrics, process)
  return metrics, info.id
end

--- What a process has done and what it uses, also for a while after its end; nil when there is
--- none. Without a key a table of id -> metrics of all that live.
---@param key? string its id or name
---@return titan.Metrics|table<string, titan.Metrics>|nil
function Manager:get_metrics(key)
  if key ~= nil then
    local _, process = self:_find(key)
    return process and (self:_metrics(process))
  end
  local all = {}
  for _, process in ipairs(core.manager_processes(self.handle)) do
    if not select(2, core.process_state(process)) then
      local metrics, id = self:_metrics(process)
      all[id] = metrics
    end
  end
  return all
end

return Manager
