--- `rate_limit = { rps, burst, strategy, key_fn, store }`: a call over the limit raises
--- `rate_limited` and does not run.
--
-- The error's `details.retry_after` says after how many ms the next call would be let through.
-- With the store "manager" the limit holds for all processes of the service together, with
-- "memory" for each of them. With `key_fn` there is a limit for each key: for each user, for each
-- address.

local errors = require "titan.errors"
local keys = require "titan.store.keys"
local store = require "titan.store"

---@class titan.RateLimitOptions: titan.Limiter
---@field key_fn? fun(...): string|number
---@field store "memory"|"manager"

---@type table<string, titan.Schema>
local fields = {
  rps = {
    kind = "number", required = true, max = 1e6, allowed = "a number of calls a second above 0",
    convert = function(rps)
      if rps <= 0 then
        return nil, "expected a number of calls a second above 0, given number " .. rps
      end
      return rps
    end,
    doc = "calls a second in the long run",
  },
  burst = {
    kind = "integer", min = 1, max = 1e6,
    doc = "how many may come at once; rps rounded up, unless told",
  },
  strategy = {
    kind = "enum", values = { "token_bucket", "sliding_window", "fixed_window" },
    default = "token_bucket", doc = "see titan.store.limits",
  },
  key_fn = { kind = "function", doc = "(...) -> what has a limit of its own" },
  store = store.schema("manager", "durable limits"),
}

-- The key when there is no key_fn. The store's space is the method's own.
local ALL <const> = ""

---@param place titan.Place
---@param limit titan.RateLimitOptions
---@param retry_after_ms number
local function refuse(place, limit, retry_after_ms)
  local after = math.ceil(retry_after_ms)
  errors.raise("rate_limited", string.format("more than %g calls a second, with bursts of %d, %s; "
    .. "the next may come in %d ms", limit.rps, limit.burst,
    limit.key_fn and "with the same key" or "to this method", after), {
    process = place.process, method = place.method, details = { retry_after = after },
  })
end

---@type titan.Annotation
return {
  schema = {
    kind = "table", optional = true, fields = fields,
    convert = function(options)
      options.burst = options.burst or math.ceil(options.rps)
      return options
    end,
    doc = "how many calls are let through",
  },
  wrap = function(inner, limit, place)
    local kept_in = store.open(limit.store, {
      space = store.space("rate_limit", place),
    })
    local key_of = limit.key_fn and keys.of(place, "rate_limit.key_fn", limit.key_fn)
    return function(self, ...)
      local ok, retry_after_ms = kept_in:take(key_of and key_of(...) or ALL, limit)
      if not ok then
        refuse(place, limit, retry_after_ms)
      end
      return inner(self, ...)
    end
  end,
}
