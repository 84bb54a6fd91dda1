--- Error objects: the one shape in which Titan reports that something failed.
--
-- An error is a table with the metatable `errors.metatable`, so that a caller can
-- branch on `err.code` and a person can read `tostring(err)`. The C core builds its
-- errors with the same metatable; nothing here may therefore assume that an error
-- came from `errors.new`. What makes errors, and what shows them, is loaded with the first.

local core = require "titan.core"

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

---@class titan.errors
---@field codes table<titan.ErrorCode, true> every code there is, as a set
---@field optional_fields table<string, true> what an error may have beside code and message
---@field new fun(code: titan.ErrorCode, message: string, fields?: titan.ErrorFields): titan.Error
---@field raise fun(code: titan.ErrorCode, message: string, fields?: titan.ErrorFields)
local errors = {}

--- The metatable of every error object.
errors.metatable = { __name = "titan.Error" }

--- See titan.errors.shown.
---@param err titan.Error
---@return string
function errors.metatable.__tostring(err)
  return require("titan.errors.shown").text(err)
end

--- Whether `value` is an error object of Titan's.
---@param value any
---@return boolean
function errors.is(value)
  return type(value) == "table" and getmetatable(value) == errors.metatable
end

return setmetatable(errors, { __index = core.later {
  codes = "titan.errors.made:codes", optional_fields = "titan.errors.made:optional_fields",
  new = "titan.errors.made:new", raise = "titan.errors.made:raise",
} })
