--- Spans: from the begin of a method, or of a piece of one, to its end.
---
--- While a span is open it is the context's traceparent, so that the calls made meanwhile, and the
--- tasks that are started, are its children. What a trace is not recorded for still has a
--- traceparent that says so, and is passed on.

local core = require "titan.core"
local remote_error = require "titan.remote_error"
local schema = require "titan.schema"
local traceparent = require "titan.tracing.traceparent"

local span = {}

local MAX_TEXT <const> = 8192 -- bytes

---@class titan.Recording what this process does with spans
---@field bound integer of the traces that begin here; see traceparent.bound
---@field add fun(record: titan.SpanRecord) takes one that has ended

-- Nil: nothing is recorded, and contexts are left alone.
---@type titan.Recording?
local recording

--- The context of a call while a span is open: what the call's own context holds, with the
--- traceparent of the span.
---@class titan.OpenSpan
---@field traceparent string
---@field tracestate? string
---@field record? titan.SpanRecord nil when the trace is not recorded
---@field package before? table the context that it stands before
---@field package begun_ns integer monotonic
local Open = {}

--- Whether spans are recorded in this process.
---@return boolean
function span.is_on()
  return recording ~= nil
end

--- Begins or ends to record.
---@param with titan.Recording?
function span.record(with)
  recording = with
end

-- The end of the span, however its function ended.
---@param open titan.OpenSpan
---@param err any nil when nothing was raised
function Open.__close(open, err)
  local record = open.record
  if core.context() == open then
    core.set_context(open.before)
  end
  open.before = nil -- tasks that live on have this context, and need no other
  if not record then
    return
  end
  record.duration_ns = core.monotonic_ns() - open.begun_ns
  if err ~= nil then
    local packed = remote_error.pack(err)
    record.error_code, record.error_message = packed.code, tostring(packed.message):sub(1, MAX_TEXT)
  end
  if recording then
    recording.add(record)
  end
end

-- A context that holds what the one before it does.
---@param before table?
---@param trace_id string
---@param span_id string
---@param sampled boolean
---@return titan.OpenSpan
local function context_over(before, trace_id, span_id, sampled)
  local context = { -- with room for what is still to come, and for what is copied
    before = nil, traceparent = nil, tracestate = nil, record = nil, begun_ns = nil,
  }
  for name, value in next, before or context do
    context[name] = value
  end
  context.before = before
  context.traceparent = traceparent.format(trace_id, span_id, sampled)
  return setmetatable(context, Open)
end

---@param trace_id string
---@param span_id string
---@param parent_id string?
---@param name string
---@param kind "server"|"internal"
---@return titan.SpanRecord
local function new_record(trace_id, span_id, parent_id, name, kind)
  return { -- with room for the other fields
    trace_id = trace_id, span_id = span_id, parent_id = parent_id, name = name, kind = kind,
    service = nil, method = nil, start_ns = nil, duration_ns = nil, attributes = nil, remote = nil,
  }
end

-- A trace that begins here and is not recorded: others are told so.
---@param before table?
---@param trace_id string
---@return titan.OpenSpan
local function begin_unsampled(before, trace_id)
  local context = context_over(before, trace_id, core.span_id(), false)
  context.record, context.tracestate = nil, nil
  core.set_context(context)
  return context
end

--- Begins a span, a child of the one that the context tells of, or the first of a trace. To be
--- closed.
---@param name string
---@param kind "server"|"internal"
---@return titan.OpenSpan? open nil when there is nothing to do at its end
function span.begin(name, kind)
  local before = core.context()
  local trace_id, parent_id, sampled
  -- The span of this process around it; what a caller sends under that name is none.
  local own = getmetatable(before) == Open and before.record
  if own then
    trace_id, parent_id = own.trace_id, own.span_id
  elseif before then
    sampled, trace_id, parent_id = core.traceparent(before.traceparent)
    if sampled == false then
      return nil
    end
  end
  local state = trace_id and before.tracestate and traceparent.state(before.tracestate)
  if not trace_id then
    trace_id = core.trace_id()
    if not traceparent.is_sampled(trace_id, recording.bound) then
      return begin_unsampled(before, trace_id)
    end
  end
  local record = new_record(trace_id, core.span_id(), parent_id, name, kind)
  record.tracestate = state
  record.remote = parent_id and not own or nil
  local context = context_over(before, trace_id, record.span_id, true)
  context.record, context.tracestate = record, state
  core.set_context(context)
  record.start_ns, context.begun_ns = core.span_clock()
  return context
end

-- Attributes -----------------------------------------------------------------------------

local MAX_ATTRIBUTES <const> = 128 -- as OpenTelemetry limits them

--- Gives the span attributes: those that are a string, a number or a boolean, with a name. Others
--- are counted as dropped.
---@param record titan.SpanRecord
---@param given any
function span.describe(record, given)
  local attributes, count, dropped = {}, 0, 0
  if type(given) ~= "table" then
    record.dropped_attributes = given ~= nil and 1 or nil
    return
  end
  for name, value in next, given do
    local kind = type(value)
    if type(name) ~= "string" or count == MAX_ATTRIBUTES
      or kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      dropped = dropped + 1
    else
      count = count + 1
      attributes[name] = kind == "string" and value:sub(1, MAX_TEXT) or value
    end
  end
  record.attributes = count > 0 and attributes or nil
  record.dropped_attributes = dropped > 0 and dropped or nil
end

-- A span of one's own --------------------------------------------------------------------

---@param name string
---@param attributes table?
---@param fn fun(...): ...
---@return any ...
local function run(name, attributes, fn, ...)
  local open <close> = span.begin(name, "internal")
  if open and open.record and attributes then
    span.describe(open.record, attributes)
  end
  return fn(...)
end

--- Runs `fn` as a span of its own: a child of the one around it, or the first of a trace. Calls and
--- tasks that `fn` starts are its children. Returns what `fn` returns, raises what it raises.
---
--- Without `monitoring.tracing` it only runs `fn`.
---@param name string
---@param attributes_or_fn table|function attributes of the span, which may be left out: strings,
--- numbers and booleans by their names
---@param ... any the function after attributes; its arguments
---@return any ...
function span.run(name, attributes_or_fn, ...)
  local attributes, fn = attributes_or_fn, (...)
  local has_attributes = type(attributes) == "table"
  if not has_attributes then
    fn = attributes_or_fn
  end
  if type(name) ~= "string" or name == "" then
    schema.refuse("titan.span", "expected a name, given " .. type(name), name, "a name")
  elseif type(fn) ~= "function" then
    schema.refuse("titan.span", "expected a function, given a " .. type(fn), fn, "a function")
  elseif not recording then
    return fn(select(has_attributes and 2 or 1, ...))
  elseif has_attributes then
    return run(name, attributes, ...)
  end
  return run(name, nil, fn, ...)
end

return span
