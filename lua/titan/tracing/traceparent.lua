--- The two headers of W3C Trace Context (https://www.w3.org/TR/trace-context/), and which traces
--- are recorded. A traceparent is taken apart in C: core.traceparent.

local traceparent = {}

--- A traceparent of version 00.
---@param trace_id string
---@param parent_id string
---@param sampled boolean
---@return string
function traceparent.format(trace_id, parent_id, sampled)
  return "00-" .. trace_id .. "-" .. parent_id .. (sampled and "-01" or "-00")
end

-- tracestate ---------------------------------------------------------------------------

local MAX_MEMBERS <const> = 32
local MAX_STATE <const> = 8192 -- bytes; the standard asks for 512 at least

local KEY <const> = "^[a-z0-9][a-z0-9_*/@-]*$"
local VALUE <const> = "^[\x20-\x2b\x2d-\x3c\x3e-\x7e]*[\x21-\x2b\x2d-\x3c\x3e-\x7e]$"

---@param member string
---@return boolean
local function is_member(member)
  local key, value = member:match "^[ \t]*([^=]*)=(.-)[ \t]*$"
  return key ~= nil and #key <= 256 and #value <= 256 and key:find(KEY) ~= nil
    and value:find(VALUE) ~= nil
end

--- The tracestate if it keeps the grammar of section 3.3, else nil: then it is not passed on.
---@param given any
---@return string?
function traceparent.state(given)
  if type(given) ~= "string" or given == "" or #given > MAX_STATE then
    return nil
  end
  local count = 0
  for member in (given .. ","):gmatch "([^,]*)," do
    if member:find "[^ \t]" then
      count = count + 1
      if count > MAX_MEMBERS or not is_member(member) then
        return nil
      end
    end
  end
  return count > 0 and given or nil
end

-- Sampling -----------------------------------------------------------------------------

--- What traces are recorded when a share of them is to be: a bound for `is_sampled`.
---@param ratio number 0 to 1
---@return integer
function traceparent.bound(ratio)
  return ratio >= 1 and math.maxinteger or math.floor(ratio * 2.0 ^ 63)
end

--- Whether a trace without a parent is recorded. The last eight bytes of its id decide, read as
--- OpenTelemetry's TraceIDRatioBased for Go reads them
--- (https://opentelemetry.io/docs/specs/otel/trace/sdk/#traceidratiobased): all who see the trace
--- decide alike, and who records a larger share records what the others do and more.
---@param trace_id string
---@param bound integer
---@return boolean
function traceparent.is_sampled(trace_id, bound)
  if bound == math.maxinteger or bound == 0 then
    return bound ~= 0
  end
  return tonumber(trace_id:sub(17), 16) >> 1 < bound
end

return traceparent
