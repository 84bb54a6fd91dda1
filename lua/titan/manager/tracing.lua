--- The manager's part in tracing: takes the spans of its workers and of the program itself, and has
--- them posted. These are methods of titan.Manager.

local core = require "titan.core"
local otlp = require "titan.tracing.otlp"
local schema = require "titan.schema"
local span = require "titan.tracing.span"
local traceparent = require "titan.tracing.traceparent"

---@class titan.Manager
---@field package exporter? titan.Exporter
---@field package recording? titan.Recording of the program's own spans
local Manager = {}

local LAST_POSTS <const> = 1000 -- ms, that the end of a program waits for a collector

-- Those of the managers that are open and trace; the program's own spans go to the first.
---@type titan.Recording[]
local recordings = {}

--- Opens what `monitoring.tracing` asks for.
function Manager:_open_tracing()
  local config = self.config.monitoring.tracing
  if not config then
    return
  elseif not pcall(require, "cjson") then
    schema.refuse("config.monitoring.tracing", "lua-cjson is not installed, which writes the posts",
      config, "false")
  end
  local exporter = require "titan.tracing.exporter" -- not in workers: it needs luv
  local out = exporter.new(config)
  local source = { process = "manager", pid = require("luv").os_getpid() }
  self.exporter = out
  self.recording = {
    bound = traceparent.bound(config.sample),
    add = function(record)
      out:add(record, source)
    end,
  }
  recordings[#recordings + 1] = self.recording
  span.record(recordings[1])
end

--- What a worker must know, for its spec.
---@return { sample: number, queue: integer }? nil when it records nothing
function Manager:_tracing_spec()
  local config = self.config.monitoring.tracing
  return config and { sample = config.sample, queue = config.queue } or nil
end

-- The same table for all spans of one process.
---@param service titan.Service
---@return titan.SpanSource
local function source_of(service)
  local info = core.process_info(service.process)
  local pid = info and info.pid
  local source = service.span_source
  if not source or source.pid ~= pid or source.process ~= service.name then
    source = { process = service.name, pid = pid }
    service.span_source = source
  end
  return source
end

--- Takes the spans that a worker sends. What is no span counts as lost.
---@param service titan.Service
---@param records any
---@param dropped any how many the worker has lost
function Manager:_take_spans(service, records, dropped)
  local out = self.exporter
  if not out or type(records) ~= "table" then
    return
  end
  local source = source_of(service)
  for _, record in ipairs(records) do
    if otlp.is_record(record) then
      out:add(record, source)
    else
      out:lost(1)
    end
  end
  if math.type(dropped) == "integer" and dropped > 0 then
    out:lost(dropped)
  end
end

--- Posts what there is, and waits for it a little.
function Manager:_flush_spans()
  if self.exporter then
    self.exporter:flush(LAST_POSTS)
  end
end

function Manager:_close_tracing()
  if not self.exporter then
    return
  end
  self.exporter:close()
  for i, recording in ipairs(recordings) do
    if recording == self.recording then
      table.remove(recordings, i)
      break
    end
  end
  span.record(recordings[1])
end

--- How tracing goes: how many spans were exported, were dropped, or are queued, since the manager
--- was made, and the last error there was. Nil when `monitoring.tracing` is false.
---@return titan.TracingCounters?
function Manager:tracing()
  return self.exporter and self.exporter:counters()
end

return Manager
