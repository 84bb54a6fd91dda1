--- Makes error objects; see titan.errors.

local errors = require "titan.errors"

local made = {}

--- Every code there is, as a set: `made.codes[code]` is true or nil.
---@type table<titan.ErrorCode, true>
made.codes = {
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
made.optional_fields = {
  details = true,
  process = true,
  method = true,
  retryable = true,
  traceback = true,
}

-- For errors about errors, which nobody should see.
---@param value any
---@return string?
local function readable(value)
  return require("titan.errors.shown").readable(value)
end

--- Builds an error object.
--
-- A code that does not exist, a message that is no string or a field that errors do
-- not have is a mistake in the calling code: it raises a plain string at the caller.
---@param code titan.ErrorCode
---@param message string
---@param fields? titan.ErrorFields
---@return titan.Error
function made.new(code, message, fields)
  if not made.codes[code] then
    error(string.format("errors.new: unknown code %s", readable(code) or "nil"), 2)
  end
  if type(message) ~= "string" then
    error(string.format("errors.new: the message is a %s, not a string", type(message)), 2)
  end
  local err = { code = code, message = message }
  for field, value in pairs(fields or {}) do
    if not made.optional_fields[field] then
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

--- Builds an error object and raises it.
---@param code titan.ErrorCode
---@param message string
---@param fields? titan.ErrorFields
function made.raise(code, message, fields)
  error(made.new(code, message, fields), 0)
end

return made
