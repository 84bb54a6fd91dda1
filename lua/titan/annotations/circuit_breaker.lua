--- `circuit_breaker = { failure_threshold = 5, timeout = "30s" }`: a method that fails is left
--- alone for a while.
--
-- So many failures in a row open it: for `timeout` calls are refused with `circuit_open` (details:
-- `retry_after`, in ms), or get what `fallback(self, err, ...)` returns. Then `half_open_requests`
-- calls at a time are let through: as many successes close it, one failure opens it again. Each
-- process has its own, which begins closed in each life of the process.
--
-- A failure is whatever the method raises, but for what says nothing about it: `cancelled`, and
-- the codes of calls that were refused before anything was done (`validation_failed`,
-- `rate_limited`, `overloaded`, `circuit_open`). Such a call counts neither way; a probe makes room
-- for another. `is_failure(err)` decides instead, but for `cancelled`: what is no failure and none
-- of these codes is a success.

local breaker_fields = require "titan.config.breaker"
local caught = require "titan.class.caught"
local core = require "titan.core"
local errors = require "titan.errors"
local layers = require "titan.config.layers"

-- They say nothing about how the method is.
local silent <const> = {
  cancelled = true, validation_failed = true, rate_limited = true, overloaded = true,
  circuit_open = true,
}

-- Whether the call that ended so went well; nil when that says nothing.
---@param raised any
---@param is_failure? fun(err: titan.Error): boolean
---@param what string
---@return boolean?
local function verdict(raised, is_failure, what)
  local code = caught.code(raised)
  if is_failure and code ~= "cancelled" and caught.ask(is_failure, what, raised) then
    return false
  elseif silent[code] then
    return nil
  end
  return is_failure ~= nil
end

---@param where string
---@param retry_after? integer ms
---@return titan.Error
local function refusal(where, retry_after)
  local why = "it failed too often; the first calls since are still under way"
  if retry_after then
    why = string.format("it failed too often; try again in %d ms", retry_after)
  end
  return errors.new("circuit_open", string.format("%s (circuit_breaker of %s)", why, where),
    { details = { retry_after = retry_after } })
end

---@type titan.Annotation
return {
  schema = {
    kind = "table", optional = true,
    fields = layers.over(breaker_fields, {
      fallback = { kind = "function", doc = "(self, err, ...) -> results, of a refused call" },
      is_failure = { kind = "function", doc = "(err) -> whether this error counts" },
    }),
    doc = "leaves the method alone for a while when it has failed too often",
  },
  wrap = function(inner, value, place)
    local where = place.class .. "." .. place.method
    local fallback, is_failure = value.fallback, value.is_failure
    local what = where .. ": circuit_breaker.is_failure"
    local take, give_back, close
    take, give_back, close = core.breaker_new(value, function(ticket, raised)
      local asked, went_well = pcall(verdict, raised, is_failure, what)
      if not asked then
        give_back(ticket, nil)
        error(went_well, 0)
      end
      give_back(ticket, went_well)
    end)
    -- All calls of one stay in a state have the same ticket: one table for all of them.
    local ended = { __close = close }
    local stay = setmetatable({ 0 }, ended)
    return function(self, ...)
      local ticket, retry_after = take()
      if not ticket and fallback then
        return fallback(self, refusal(where, retry_after), ...)
      elseif not ticket then
        error(refusal(where, retry_after), 0)
      elseif ticket ~= stay[1] then
        stay = setmetatable({ ticket }, ended)
      end
      local _ <close> = stay
      return inner(self, ...)
    end
  end,
}
