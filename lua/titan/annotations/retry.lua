--- `retry = 3`: the method is called again when it fails, three times in all.
--
-- Or `{ attempts, delay, backoff, retry_if }`, where delay and backoff have the words of a restart
-- policy: the first wait, and how those after it grow. Retried are errors that are `retryable` and
-- those that the method raised itself (`remote_error`); `retry_if(err)` decides instead, but
-- `cancelled` is never retried. An error with `details.retry_after` is not retried before that, and
-- not at all if that is more than backoff.max. No attempt is begun for which the caller's time does
-- not suffice. The last error is raised; if it is an error object and not of the first attempt, its
-- details have `attempts`.

local caught = require "titan.class.caught"
local core = require "titan.core"
local errors = require "titan.errors"
local layers = require "titan.config.layers"
local restarts = require "titan.config.restarts"
local schema = require "titan.schema"

---@class titan.Retry complete
---@field attempts integer
---@field delay integer ms
---@field backoff titan.Backoff
---@field retry_if? fun(err: titan.Error): boolean

---@type table<string, titan.Schema>
local fields <const> = {
  attempts = { kind = "integer", min = 1, max = 1000, default = 3,
    doc = "how often it is called at most" },
  delay = { kind = "duration", max = "1000h", default = 50, doc = "before the second attempt" },
  backoff = restarts.backoff {
    type = "exponential", initial = 100, max = 5000, factor = 2, jitter = 0.2,
  },
  retry_if = { kind = "function", doc = "(err) -> whether this error is retried" },
}

---@type titan.Schema
local options_schema <const> = { kind = "table", fields = fields }

---@param rule titan.Retry
---@param what string
---@param raised any
---@return boolean
local function is_retried(rule, what, raised)
  local code = caught.code(raised)
  if code == "cancelled" then
    return false
  elseif rule.retry_if then
    return caught.ask(rule.retry_if, what, raised)
  end
  return code == "remote_error" or raised.retryable == true
end

-- How long to wait before the next attempt; nil when that would be too long.
---@param rule titan.Retry
---@param attempt integer the last one
---@param raised any
---@return integer? ms
local function wait_of(rule, attempt, raised)
  local ms = core.backoff_ms(rule, attempt - 1)
  local details = type(raised) == "table" and rawget(raised, "details")
  local retry_after = type(details) == "table" and tonumber(rawget(details, "retry_after"))
  if retry_after and retry_after > rule.backoff.max then
    return nil
  elseif retry_after and retry_after > ms then
    ms = math.ceil(retry_after)
  end
  local left = core.time_left()
  if left and left <= ms then
    return nil
  end
  return ms
end

-- Waits for the next attempt, or raises.
---@param rule titan.Retry
---@param what string
---@param attempt integer the one that failed
---@param raised any
local function pause(rule, what, attempt, raised)
  local ms = attempt < rule.attempts and is_retried(rule, what, raised)
    and wait_of(rule, attempt, raised)
  if ms then
    caught.forget()
    core.sleep(ms)
  elseif attempt > 1 and errors.is(raised) then
    error(caught.with_details(raised, { attempts = attempt }), 0)
  else
    error(raised, 0)
  end
end

---@type titan.Annotation
return {
  schema = {
    kind = "one_of", allowed = "an integer from 1 to 1000, or a table",
    of = {
      layers.over(fields.attempts, {
        convert = function(attempts)
          return schema.check(options_schema, { attempts = attempts }, "retry")
        end,
      }),
      options_schema,
    },
    doc = "calls the method again when it fails",
  },
  wrap = function(inner, rule, place)
    local what = string.format("%s.%s: retry.retry_if", place.class, place.method)
    local handler, counted, results = caught.handler, caught.counted, caught.results
    local xpcall = xpcall
    return function(self, ...)
      local ok, n, kept = counted(xpcall(inner, handler, self, ...))
      local attempt = 1
      while not ok do
        pause(rule, what, attempt, kept)
        attempt = attempt + 1
        ok, n, kept = counted(xpcall(inner, handler, self, ...))
      end
      return results(n, kept)
    end
  end,
}
