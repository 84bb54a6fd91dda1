--- Spans as OTLP/HTTP sends them in JSON: an ExportTraceServiceRequest, and what its answer says.
---
--- https://opentelemetry.io/docs/specs/otlp/#otlphttp and the JSON mapping described there: ids are
--- hex, 64-bit integers are decimal strings, enums are numbers, keys are lowerCamelCase. The fields
--- are those of opentelemetry/proto/trace/v1/trace.proto; the attributes follow the semantic
--- conventions for RPC (https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/) and for
--- processes (https://opentelemetry.io/docs/specs/semconv/resource/process/).

local core = require "titan.core"
local sorted = require "titan.sorted"

local otlp = {}

---@class titan.SpanRecord a span that has ended, as it goes from a worker to the manager
---@field trace_id string
---@field span_id string
---@field parent_id? string
---@field remote? boolean whether the parent is in another process
---@field tracestate? string
---@field name string
---@field kind "server"|"internal"
---@field service? string of a method's span
---@field method? string
---@field start_ns integer of the wall clock
---@field duration_ns integer
---@field error_code? string
---@field error_message? string
---@field attributes? table<string, string|number|boolean>
---@field dropped_attributes? integer

---@class titan.SpanSource what spans came from
---@field process string
---@field pid integer?

local KINDS <const> = { internal = 1, server = 2 }
local STATUS_ERROR <const> = 2

-- Of Span.flags: the trace flags of W3C, and whether the parent is known to be remote or not.
local SAMPLED <const>, PARENT_KNOWN <const>, PARENT_REMOTE <const> = 0x1, 0x100, 0x200

-- Values -----------------------------------------------------------------------------------

local REPLACEMENT <const> = "\u{FFFD}"

-- JSON is UTF-8; one span that is not would make a collector refuse its whole batch.
---@param text string
---@return string
local function utf8_text(text)
  if utf8.len(text) then
    return text
  end
  local parts, from = {}, 1
  repeat
    local _, bad = utf8.len(text, from)
    parts[#parts + 1] = text:sub(from, (bad or 0) - 1)
    parts[#parts + 1] = bad and REPLACEMENT
    from = bad and bad + 1
  until not bad
  return table.concat(parts)
end

---@param value number
---@return number|string
local function double(value)
  if value ~= value then
    return "NaN"
  elseif value == math.huge or value == -math.huge then
    return value > 0 and "Infinity" or "-Infinity"
  end
  return value
end

---@param key string
---@param value string|number|boolean
---@return table KeyValue
local function attribute(key, value)
  local any
  if type(value) == "boolean" then
    any = { boolValue = value }
  elseif math.type(value) == "integer" then
    any = { intValue = string.format("%d", value) }
  elseif type(value) == "number" then
    any = { doubleValue = double(value) }
  else
    any = { stringValue = utf8_text(value) }
  end
  return { key = utf8_text(key), value = any }
end

-- Spans ------------------------------------------------------------------------------------

---@param record titan.SpanRecord
---@return table[]? KeyValue[]; nil when there are none: cjson would write an empty one as a map
local function attributes_of(record)
  local list = {}
  if record.method then
    list = {
      attribute("rpc.system", "titan"), attribute("rpc.service", record.service),
      attribute("rpc.method", record.method),
    }
  end
  if record.error_code then
    list[#list + 1] = attribute("error.type", record.error_code)
  end
  for _, key in ipairs(record.attributes and sorted.keys(record.attributes) or {}) do
    list[#list + 1] = attribute(key, record.attributes[key])
  end
  return #list > 0 and list or nil
end

---@param record titan.SpanRecord
---@return table Span
local function span_of(record)
  return {
    traceId = record.trace_id, spanId = record.span_id, parentSpanId = record.parent_id,
    traceState = record.tracestate and utf8_text(record.tracestate),
    flags = SAMPLED | PARENT_KNOWN | (record.remote and PARENT_REMOTE or 0),
    name = utf8_text(record.name), kind = KINDS[record.kind],
    startTimeUnixNano = string.format("%d", record.start_ns),
    endTimeUnixNano = string.format("%d", record.start_ns + record.duration_ns),
    attributes = attributes_of(record), droppedAttributesCount = record.dropped_attributes,
    status = record.error_code
      and { code = STATUS_ERROR, message = utf8_text(record.error_message or "") } or nil,
  }
end

---@param source titan.SpanSource
---@param service_name string
---@return table Resource
local function resource_of(source, service_name)
  local list = {
    attribute("service.name", service_name), attribute("titan.process", source.process),
    attribute("telemetry.sdk.name", "titan"), attribute("telemetry.sdk.language", "lua"),
    attribute("telemetry.sdk.version", core.version),
  }
  if source.pid then
    list[#list + 1] = attribute("process.pid", source.pid)
    list[#list + 1] = attribute("service.instance.id", source.process .. "-" .. source.pid)
  end
  return { attributes = list }
end

-- Encoding -----------------------------------------------------------------------------------

---@class titan.Otlp
---@field package json table
---@field package service_name string
local Otlp = {}
Otlp.__index = Otlp

---@param service_name string
---@return titan.Otlp
function otlp.new(service_name)
  local json = require("cjson").new() -- writes 14 digits of a float
  return setmetatable({ json = json, service_name = service_name }, Otlp)
end

--- The body of a post: the spans of each process under a resource of their own.
---@param spans { record: titan.SpanRecord, source: titan.SpanSource }[] not empty
---@return string
function Otlp:encode(spans)
  local lists, resource_spans = {}, {}
  for _, span in ipairs(spans) do
    local list = lists[span.source]
    if not list then
      list = {}
      lists[span.source] = list
      resource_spans[#resource_spans + 1] = {
        resource = resource_of(span.source, self.service_name),
        scopeSpans = { { scope = { name = "titan", version = core.version }, spans = list } },
      }
    end
    list[#list + 1] = span_of(span.record)
  end
  return self.json.encode { resourceSpans = resource_spans }
end

--- What the answer to a post that was taken says of spans that were not.
---@param body string? anything
---@return integer rejected
---@return string? message
function Otlp:rejected(body)
  local ok, answer = pcall(self.json.decode, body)
  local partial = ok and type(answer) == "table" and answer.partialSuccess
  if type(partial) ~= "table" then
    return 0
  end
  local count = math.tointeger(tonumber(partial.rejectedSpans)) or 0
  local message = partial.errorMessage
  return math.max(count, 0), type(message) == "string" and message ~= "" and message or nil
end

-- Arrival ----------------------------------------------------------------------------------

local MAX_NS <const> = (1 << 62) - 1 -- twice it is an integer still

---@param value any
---@param len integer
---@return boolean
local function is_id(value, len)
  return type(value) == "string" and #value == len and not value:find "[^0-9a-f]"
end

---@param value any
---@return boolean
local function is_time(value)
  return math.type(value) == "integer" and value >= 0 and value <= MAX_NS
end

---@param attributes any
---@return boolean
local function are_attributes(attributes)
  if type(attributes) ~= "table" then
    return false
  end
  for key, value in next, attributes do
    local kind = type(value)
    if type(key) ~= "string" or kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      return false
    end
  end
  return true
end

local function is_optional(value, kind)
  return value == nil or type(value) == kind
end

--- Whether it is a record that can be encoded: what a worker sends is not trusted.
---@param record any
---@return boolean
function otlp.is_record(record)
  return type(record) == "table" and is_id(record.trace_id, 32) and is_id(record.span_id, 16)
    and (record.parent_id == nil or is_id(record.parent_id, 16))
    and is_optional(record.tracestate, "string") and type(record.name) == "string"
    and KINDS[record.kind] ~= nil and is_optional(record.service, "string")
    and is_optional(record.method, "string") and (record.method == nil) == (record.service == nil)
    and is_time(record.start_ns) and is_time(record.duration_ns)
    and is_optional(record.error_code, "string") and is_optional(record.error_message, "string")
    and (record.attributes == nil or are_attributes(record.attributes))
    and (record.dropped_attributes == nil or is_time(record.dropped_attributes))
end

return otlp
