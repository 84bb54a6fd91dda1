--- Errors on their way from a worker to its caller.

local core = require "titan.core"
local errors = require "titan.errors"
local traces = require "titan.traces"

local remote_error = {}

-- To-be-closed variables of the method see what pack makes: it looks like an error, too.
local function packed(fields)
  return setmetatable(fields, errors.metatable)
end

-- Details go along if they can travel; a worker's own error matters more than they do.
---@param details any
---@return any
local function travelling(details)
  if details ~= nil and pcall(core.encode, details) then
    return details
  end
  return nil
end

---@param err table an error that is a table of the worker's own
---@return string
local function message_of(err)
  local metatable = getmetatable(err)
  if type(metatable) == "table" and rawget(metatable, "__tostring") then
    local ok, text = pcall(tostring, err)
    return ok and text or "an error object whose __tostring raised"
  end
  local ok, message = pcall(function()
    return err.message -- perhaps of a class, by an __index that may do anything
  end)
  return ok and type(message) == "string" and message or "the method raised a table (see details)"
end

-- Whether a line of the traceback is in code that is not Titan's own.
---@param traceback string?
---@return boolean
local function leads_to_a_user(traceback)
  for line in (traceback or ""):gmatch "[^\n]+" do
    local is_ours = line:find "^%s*%[C%]" or line:find "^%s*titan[.:]"
      or line:find("(...tail calls...)", 1, true) or line:find "^stack traceback"
    if not is_ours then
      return true
    end
  end
  return false
end

--- What travels of an error that a method raised. Never raises.
---@param err any
---@param traceback? string where it was raised
---@return table
function remote_error.of(err, traceback)
  if errors.is(err) and not leads_to_a_user(traceback) then
    traceback = nil -- Titan has refused something, and its message says what
  end
  if errors.is(err) then
    return packed {
      code = err.code, message = err.message, details = travelling(err.details),
      process = err.process, method = err.method, retryable = err.retryable,
      traceback = err.traceback or traceback,
    }
  elseif type(err) == "table" then
    return packed {
      code = "remote_error", message = message_of(err), details = travelling(err),
      traceback = traceback,
    }
  end
  local refused = err == "not enough memory" and core.memory_refusal() or nil
  if refused then -- what the limit of the worker's heap makes of Lua's own error
    return packed { code = "limit_exceeded", message = refused, traceback = traceback }
  end
  local shown, text = pcall(tostring, err)
  if type(err) ~= "string" then
    text = "the method raised a value: " .. (shown and text or "one that cannot be shown")
  end
  return packed { code = "remote_error", message = text, traceback = traceback }
end

--- The same as a message handler, so that the traceback shows where it was raised: the first time,
--- if it was caught with titan.traces.note and raised again.
---@param err any
---@return table
function remote_error.pack(err)
  return remote_error.of(err, traces.take(err) or debug.traceback(nil, 2))
end

-- The other side is not trusted to send what pack makes.
---@param value any
---@param kind string
---@return any
local function only(value, kind)
  if type(value) == kind then
    return value
  end
  return nil
end

--- The error object that the caller gets.
---@param sent any
---@param process string? whom it called
---@param method string?
---@return titan.Error
function remote_error.receive(sent, process, method)
  local map = type(sent) == "table" and sent or { message = sent }
  local code = errors.codes[map.code] and map.code or "remote_error"
  return errors.new(code, only(map.message, "string") or "an error without a message", {
    details = only(map.details, "table"),
    process = only(map.process, "string") or process,
    method = only(map.method, "string") or method,
    retryable = only(map.retryable, "boolean"),
    traceback = only(map.traceback, "string"),
  })
end

return remote_error
