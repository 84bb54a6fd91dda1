--- The two headers of W3C Trace Context (https://www.w3.org/TR/trace-context/), and which traces
--- are recorded. A traceparent is made and taken apart in C.

local traceparent = {}

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

--- The bound for core.new_trace, of which the core says what it decides.
---@param ratio number 0 to 1, the share of the traces that is recorded
---@return integer
function traceparent.bound(ratio)
  return ratio >= 1 and math.maxinteger or math.floor(ratio * 2.0 ^ 63)
end

return traceparent
