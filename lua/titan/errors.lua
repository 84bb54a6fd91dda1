--- Error objects: the one shape in which Titan reports that something failed.
--
-- An error is a table with the metatable `errors.metatable`, so that a caller can
-- branch on `err.code` and a person can read `tostring(err)`. The C core builds its
-- errors with the same metatable; nothing here may therefore assume that an error
-- came from `errors.new`.

local text = require "titan.text"

local errors = {}

---@alias titan.ErrorCode
---| "invalid_config"    # a config, option or declaration is not acceptable
---| "spawn_failed"      # the process could not be started
---| "startup_timeout"   # the process did not become ready in time
---| "method_not_found"  # the class has no such method
---| "not_public"        # the method exists but may not be called from outside
---| "validation_failed" # arguments or result do not fit the method's schema
---| "timeout"           # the deadline of the call is over
---| "cancelled"         # the caller gave the call up
---| "worker_lost"       # the process died in the middle of the call
---| "overloaded"        # a queue is full
---| "rate_limited"      # more calls than the method allows
---| "circuit_open"      # the method failed too often lately and is being left alone
---| "limit_exceeded"    # a resource limit was reached
---| "remote_error"      # the method itself raised
---| "protocol_error"    # the peer sent something that is not a Titan message
---| "unauthorized"      # the peer may not do this
---| "shutting_down"     # the process or the manager is stopping
---| "destroyed"         # the proxy, pool or process is gone for good

---@class titan.Error
---@field code titan.ErrorCode
---@field message string what happened, for a person
---@field details? table what a program may want to know; its keys depend on the code
---@field process? string name of the process that was called
---@field method? string name of the method that was called
---@field retryable boolean whether the same call may succeed when made again
---@field traceback? string where it was raised, on the side that raised it

---@class titan.ErrorFields
---@field details? table
---@field process? string
---@field method? string
---@field retryable? boolean instead of the code's own default
---@field traceback? string

--- Every code there is, as a set: `errors.codes[code]` is true or nil.
---@type table<titan.ErrorCode, true>
errors.codes = {
  invalid_config = true,
  spawn_failed = true,
  startup_timeout = true,
  method_not_found = true,
  not_public = true,
  validation_failed = true,
  timeout = true,
  cancelled = true,
  worker_lost = true,
  overloaded = true,
  rate_limited = true,
  circuit_open = true,
  limit_exceeded = true,
  remote_error = true,
  protocol_error = true,
  unauthorized = true,
  shutting_down = true,
  destroyed = true,
}

-- Codes that tell of a passing state, not of a mistake in the call.
local retryable_codes = {
  timeout = true,
  worker_lost = true,
  overloaded = true,
  rate_limited = true,
  circuit_open = true,
  shutting_down = true,
}

--- What an error may have beside its code and its message, as a set.
---@type table<string, true>
errors.optional_fields = {
  details = true,
  process = true,
  method = true,
  retryable = true,
  traceback = true,
}

-- Never calls tostring on a table or userdata: a foreign __tostring may raise.
---@param value any
---@return string? text nil for nil
local function readable(value)
  local kind = type(value)
  if kind == "nil" then
    return nil
  elseif kind == "string" then
    return text.printable(value)
  elseif kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return "<" .. kind .. ">"
end

---@param lines string
---@return string
local function indented(lines)
  return "\n  " .. string.gsub(string.gsub(lines, "\n+$", ""), "\n", "\n  ")
end

---@param process string?
---@param method string?
---@return string
local function place(process, method)
  if process and method then
    return " (" .. process .. "." .. method .. ")"
  elseif process or method then
    return " (" .. (process or method) .. ")"
  end
  return ""
end

--- The metatable of every error object.
errors.metatable = { __name = "titan.Error" }

--- `code: message (process.method)` on one line; what the message has beyond its first
--- line, and the traceback, follow indented. Never raises, whatever the fields hold.
---@param err titan.Error
---@return string
function errors.metatable.__tostring(err)
  local message = readable(err.message) or "no message"
  local first, rest = string.match(message, "^([^\n]*)\n?(.*)$")
  local where = place(readable(err.process), readable(err.method))
  local line = (readable(err.code) or "no code") .. ": " .. first .. where
  if rest ~= "" then
    line = line .. indented(rest)
  end
  if err.traceback ~= nil then
    line = line .. indented(readable(err.traceback))
  end
  return line
end

--- Builds an error object.
--
-- A code that does not exist, a message that is no string or a field that errors do
-- not have is a mistake in the calling code: it raises a plain string at the caller.
---@param code titan.ErrorCode
---@param message string
---@param fields? titan.ErrorFields
---@return titan.Error
function errors.new(code, message, fields)
  if not errors.codes[code] then
    error(string.format("errors.new: unknown code %s", readable(code) or "nil"), 2)
  end
  if type(message) ~= "string" then
    error(string.format("errors.new: the message is a %s, not a string", type(message)), 2)
  end
  local err = { code = code, message = message }
  for field, value in pairs(fields or {}) do
    if not errors.optional_fields[field] then
      error(string.format("errors.new: unknown field %s", readable(field)), 2)
    end
    err[field] = value
  end
  if err.retryable == nil then
    err.retryable = retryable_codes[code] == true
  elseif type(err.retryable) ~= "boolean" then
    error(string.format("errors.new: retryable is a %s, not a boolean", type(err.retryable)), 2)
  end
  return setmetatable(err, errors.metatable)
end

--- Whether `value` is an error object of Titan's.
---@param value any
---@return boolean
function errors.is(value)
  return type(value) == "table" and getmetatable(value) == errors.metatable
end

--- Builds an error object and raises it.
---@param code titan.ErrorCode
---@param message string
---@param fields? titan.ErrorFields
function errors.raise(code, message, fields)
  error(errors.new(code, message, fields), 0)
end

return errors
