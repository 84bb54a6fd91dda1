--- `trace = true`: a span for each call of the method, by W3C Trace Context and OpenTelemetry.
---
--- A call from outside is a span of the kind SERVER, one by self:method() of the kind INTERNAL.
--- Which are recorded and where they are sent, `monitoring.tracing` of the manager's config says;
--- without it the method is left as it is, and contexts pass through it.

local span = require "titan.tracing.span"
local tasks = require "titan.tasks"

---@class titan.TraceOptions
---@field name? string of the span, "service/method" unless told
---@field attributes? table<string, string|number|boolean>|fun(...): table? of the span; a function
--- gets the arguments of the call, without self

-- What the methods are for calls from outside, by what they are inside.
local served = setmetatable({}, { __mode = "k" })

---@param record titan.SpanRecord
---@param attributes fun(...): table?
local function ask(record, attributes, ...)
  local ok, given = pcall(attributes, ...)
  if not ok then -- whether a call succeeds must not depend on whether it is recorded
    given = { ["titan.attributes_error"] = tasks.text_of(given) }
  end
  span.describe(record, given)
end

-- The method as a span of this kind.
---@param inner titan.MethodFn
---@param kind "server"|"internal"
---@param options titan.TraceOptions
---@param place titan.Place
---@return titan.MethodFn
local function spanned(inner, kind, options, place)
  local attributes = options.attributes
  local name = options.name or place.scope .. "/" .. place.method
  return function(self, ...)
    local open <close> = span.begin(name, kind)
    local record = open and open.record
    if record then
      record.service, record.method = place.scope, place.method
      if type(attributes) == "function" then
        ask(record, attributes, ...)
      else
        record.attributes = attributes
      end
    end
    return inner(self, ...)
  end
end

local scalar <const> = {
  kind = "one_of", of = { { kind = "string" }, { kind = "number" }, { kind = "boolean" } },
  allowed = "a string, a number or a boolean",
}

local trace = {
  schema = {
    kind = "one_of", allowed = "true, false or a table",
    of = {
      { kind = "boolean" },
      {
        kind = "table",
        fields = {
          name = { kind = "string", min = 1, max = 255 },
          attributes = {
            kind = "one_of", allowed = "a table of attributes, or a function that returns one",
            of = {
              { kind = "function" },
              { kind = "map", key = { kind = "string", min = 1 }, value = scalar },
            },
          },
        },
      },
    },
    doc = "whether calls of the method are recorded as spans",
  },
}

function trace.wrap(inner, value, place)
  if not span.is_on() then
    return inner
  end
  local options = value == true and {} or value
  local inside = spanned(inner, "internal", options, place)
  served[inside] = spanned(inner, "server", options, place)
  return inside
end

--- Calls from outside get a span of their own kind instead.
function trace.wrap_entry(outer)
  return served[outer] or outer
end

return trace
