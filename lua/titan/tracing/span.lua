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

-- Puts a context in the place of the one before it, of which it holds the rest.
---@param before table?
---@param parent string the traceparent that others get
---@param state string?
---@param record titan.SpanRecord?
---@return titan.OpenSpan
local function enter(before, parent, state, record)
  local context = { -- with room for all that it will have
    before = nil, traceparent = nil, tracestate = nil, record = nil, begun_ns = nil,
  }
  for name, value in next, before or context do
    context[name] = value
  end
  context.before, context.traceparent, context.tracestate = before, parent, state
  context.record = record
  core.set_context(setmetatable(context, Open))
  return context
end

---@param parent_id string?
---@param remote boolean?
---@param state string?
---@return titan.SpanRecord
local function new_record(trace_id, span_id, parent_id, remote, state, name, kind)
  return { -- with room for the other fields
    trace_id = trace_id, span_id = span_id, parent_id = parent_id, remote = remote,
    tracestate = state, name = name, kind = kind,
    service = nil, method = nil, start_ns = nil, duration_ns = nil, attributes = nil,
  }
end

--- Begins a span, a child of the one that the context tells of, or the first of a trace. To be
--- closed.
---@param name string
---@param kind "server"|"internal"
---@return titan.OpenSpan? open nil when there is nothing to do at its end
function span.begin(name, kind)
  local before = core.context()
  local trace_id, parent_id, sampled, parent, span_id, state
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
  if trace_id then
    parent, span_id = core.new_span(trace_id)
    state = before.tracestate and traceparent.state(before.tracestate)
  else
    parent, span_id, trace_id = core.new_trace(recording.bound)
    if not trace_id then
      return enter(before, parent) -- others are told that it is not recorded
    end
  end
  local remote = parent_id and not own or nil
  local record = new_record(trace_id, span_id, parent_id, remote, state, name, kind)
  local open = enter(before, parent, state, record)
  record.start_ns, open.begun_ns = core.span_clock()
  return open
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
