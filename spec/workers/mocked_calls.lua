-- What real workers and mock ones are to know of a call and to make of annotations alike.

local core = require "titan.core"
local titan = require "titan"

-- How often each method ran in this life.
local function ran(self, name)
  self.runs[name] = (self.runs[name] or 0) + 1
  return self.runs[name]
end

local function counting(name)
  return function(self, ...)
    return ran(self, name), ...
  end
end

local function by_id(order)
  return order.id
end

-- Fails until it has run so often.
local function failing(name)
  return function(self, times)
    local n = ran(self, name)
    if n <= times then
      error("failed " .. n, 0)
    end
    return n
  end
end

local function seen()
  local context = titan.context()
  context.traceparent = (core.context() or {}).traceparent
  return context
end

local function noted(self)
  return setmetatable({}, { __close = function(_, err)
    self.closed = err and err.code or "closed"
  end })
end

return titan.process {
  name = "calls", all_methods_public = true,
  init = function(self)
    self.runs = {}
  end,
  methods = {
    seen = seen,
    seen_inside = function()
      return titan.go(seen):await()
    end,
    seen_by = function(_, name, options)
      local target = titan.service(name)
      return (options and target:with(options) or target):seen()
    end,
    changed = function()
      local context = titan.context()
      context.headers.tenant = "another"
      return context.headers.tenant
    end,
    rest_at = function(self, name, duration)
      local _ <close> = noted(self)
      local target = titan.service(name):with { timeout = false }
      target:rest(duration)
    end,
    rest = function(self, duration)
      local _ <close> = noted(self)
      titan.sleep(duration)
      return "rested"
    end,
    how_closed = function(self)
      return self.closed
    end,
    limited_call = function(_, ms, name)
      local _ <close> = core.time_limit(ms, "the limit")
      local target = titan.service(name)
      target:rest "1h"
    end,

    cached = { cache = { ttl = "10s" }, counting "cached" },
    cached_inside = function(self, ...)
      return self:cached(...)
    end,
    cached_by_all = { cache = { store = "manager", ttl = "10s" }, counting "cached_by_all" },
    slow_by_all = { cache = { store = "manager", key_fn = function()
      return "one"
    end }, function(self, duration)
      titan.sleep(duration)
      return self.name, ran(self, "slow_by_all")
    end },
    limited = { rate_limit = { rps = 0.5, burst = 2 }, counting "limited" },
    limited_alone = { rate_limit = { rps = 0.5, burst = 2, store = "memory" },
      counting "limited_alone" },
    again = { idempotent = true, counting "again" },
    once = { idempotent = { ttl = "10s" }, counting "once" },
    once_inside = function(self, ...)
      return self:once(...)
    end,
    once_by_id = { idempotent = { key_fn = by_id, ttl = "10s" }, counting "once_by_id" },
    once_alone = { idempotent = { store = "memory" }, counting "once_alone" },
    once_slow = { idempotent = {}, function(self, duration)
      titan.sleep(duration)
      return self.name, ran(self, "once_slow")
    end },
    durable = { idempotent = { store = "sqlite" }, counting "durable" },
    measured = { metric = { counter = "things.done", histogram = "things.ms",
      labels = { kind = function(kind)
        return kind
      end } }, function(_, _, duration)
      titan.sleep(duration or 0)
    end },
    checked = { validate = { args = { { type = "integer", min = 1 } } }, counting "checked" },
    broken = { circuit_breaker = { failure_threshold = 2, timeout = "30s" }, failing "broken" },
    retried = { retry = { attempts = 3, delay = 1, backoff = { initial = 1, jitter = 0 } },
      failing "retried" },
    retried_slowly = { retry = { attempts = 3, delay = "10s",
      backoff = { initial = "1m", max = "1m", jitter = 0 } }, failing "retried_slowly" },
    hurried = { timeout = "20ms", function(self, duration)
      local _ <close> = noted(self)
      titan.sleep(duration)
    end },
    crowded = { bulkhead = 1, function(_, duration)
      titan.sleep(duration)
      return "through"
    end },
    excused = { fallback = function(_, err, ...)
      return "instead", err.message, ...
    end, failing "excused" },
    traced = { trace = true, counting "traced" },

    count = { stream = true, function(self, n)
      return function(_, i)
        i = (i or 0) + 1
        if i <= n then
          return i, { i }
        end
      end, nil, nil, noted(self)
    end },
    failing_stream = { stream = true, function()
      return function(_, i)
        if i == 2 then
          error("no more", 0)
        end
        return (i or 0) + 1
      end
    end },
    leaking_stream = { stream = true, function()
      return function(_, i)
        return i and print or 1
      end
    end },
    slow_stream = { stream = true, function(self)
      return function(_, i)
        titan.sleep(i and "1h" or 0)
        return 1
      end, nil, nil, noted(self)
    end },
    no_stream = { stream = true, function()
      return 5
    end },
    sum = function(self, n)
      local sum = 0
      for i in self:count(n) do
        sum = sum + i
      end
      return sum
    end,
    sum_of = function(_, name, n)
      local sum, target = 0, titan.service(name)
      for i in target:count(n) do
        sum = sum + i
      end
      return sum
    end,
  },
}
