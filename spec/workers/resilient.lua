--- Methods that do what they were told to do, one act after the other, inside of the annotations
--- that make the best of it.

local errors = require "titan.errors"
local titan = require "titan"

local acts = {
  well = function(_, ...)
    return ...
  end,
  text = function()
    error "it broke"
  end,
  table = function(self)
    error(self.table)
  end,
  nothing = function()
    error()
  end,
  later = function()
    errors.raise("rate_limited", "not now", { details = { retry_after = 20 } })
  end,
  much_later = function()
    errors.raise("rate_limited", "not now", { details = { retry_after = 3600 * 1000 } })
  end,
  unready = function()
    errors.raise("remote_error", "not ready", { details = { part = 7 } })
  end,
}

-- Counts one that waits, and those that ended otherwise than by `open`.
local function counted(self)
  self.waiting = self.waiting + 1
  return setmetatable({}, {
    __close = function(_, err)
      self.waiting = self.waiting - 1
      self.given_up = self.given_up + (err and 1 or 0)
    end,
  })
end

function acts.wait(self, ...)
  local _ <close> = counted(self)
  local gate = self.gate
  local ok, err = pcall(gate.await, gate)
  if not ok and not gate:done() then
    error(err, 0)
  end
  return ...
end

local function act(self, ...)
  self.runs = self.runs + 1
  local what = table.remove(self.acts, 1) or "well"
  if acts[what] then
    return acts[what](self, ...)
  end
  errors.raise(what, "as planned")
end

local function with(annotations)
  annotations.public = true
  annotations[1] = act
  return annotations
end

local quick = { attempts = 3, delay = 1, backoff = { type = "fixed", initial = 1 } }

local function quickly(more)
  for key, value in pairs(quick) do
    more[key] = more[key] or value
  end
  return more
end

local function say(self, err, ...)
  self.seen = err
  return "instead", err.code, err.message, ...
end

return titan.process {
  all_methods_public = true,
  init = function(self)
    self.acts, self.runs, self.waiting, self.given_up = {}, 0, 0, 0
    self.table = { disk = 3 }
    self.gate = titan.go(titan.sleep, "1h")
  end,
  methods = {
    plan = function(self, ...)
      self.acts, self.runs = { ... }, 0
    end,
    count = function(self)
      return self.runs, self.waiting, self.given_up
    end,
    open = function(self)
      self.gate:cancel()
    end,
    -- Calls a method by its name, so often, at once; the codes of what it raises, "" for nothing.
    burst = function(self, name, times)
      local codes = {}
      for i = 1, times do
        local ok, err = pcall(self[name], self)
        codes[i] = ok and "" or errors.is(err) and err.code or "remote_error"
      end
      return codes
    end,
    -- Whether what comes out of a method is the very value that went in.
    same_error = function(self, name)
      local _, err = pcall(self[name], self)
      return rawequal(err, self.table), type(err)
    end,

    broken = with { circuit_breaker = { failure_threshold = 2, timeout = "1h" } },
    healing = with { circuit_breaker = { failure_threshold = 2, timeout = 1 } },
    relapsing = with { circuit_breaker = { failure_threshold = 2, timeout = 150 } },
    probed = with {
      circuit_breaker = { failure_threshold = 1, timeout = 1, half_open_requests = 2 },
    },
    excused = with {
      circuit_breaker = { failure_threshold = 1, timeout = "1h", fallback = say },
    },
    judged = with {
      circuit_breaker = {
        failure_threshold = 1, timeout = "1h",
        is_failure = function(err)
          if err.code == "unauthorized" then
            error "who are you"
          end
          return err.code == "remote_error" and err.message:find "it broke" ~= nil
            or err.code == "overloaded"
        end,
      },
    },

    retried = with { retry = quick },
    retried_shortly = with { retry = 2 },
    retried_rarely = with {
      retry = quickly {
        retry_if = function(err)
          if err.code == "unauthorized" then
            error "who are you"
          end
          return err.code == "validation_failed" or err.message:find "it broke" ~= nil
        end,
      },
    },
    retried_slowly = with { retry = quickly { delay = "10s" } },

    caught = with { fallback = say },
    caught_some = with { fallback = { say, on = { "overloaded", "validation_failed" } } },
    caught_if = with {
      fallback = {
        say,
        on = function(err)
          if err.code == "unauthorized" then
            error "who are you"
          end
          return err.message:find "it broke" ~= nil
        end,
      },
    },
    caught_badly = with {
      fallback = function()
        error "worse"
      end,
    },
    caught_coded = with {
      fallback = function()
        errors.raise("overloaded", "worse", { details = { queue = 3 }, retryable = false })
      end,
    },
    caught_and_raised = with {
      fallback = function(_, err)
        error(err, 0)
      end,
    },

    limited = with { timeout = 30 },
    limited_long = with { timeout = "1h" },
    retried_limited = with { retry = quickly { attempts = 2 }, timeout = 30 },
    rest_after_limited = function(self)
      self:limited()
      titan.sleep(40)
      return "rested"
    end,

    crowded = with { bulkhead = 2 },
    queued = with { bulkhead = { max_concurrent = 1, max_queue = 2 } },
    queued_shortly = with {
      bulkhead = { max_concurrent = 1, max_queue = 2, queue_timeout = 5 },
    },

    all_of_it = with {
      fallback = say, retry = quickly { attempts = 2 },
      circuit_breaker = { failure_threshold = 3, timeout = "1h" }, timeout = 30,
    },
    retried_in_breaker = with {
      retry = quickly { attempts = 5 }, circuit_breaker = { failure_threshold = 3, timeout = "1h" },
    },
    crowded_in_breaker = with {
      bulkhead = 1, circuit_breaker = { failure_threshold = 1, timeout = "1h" },
    },
    limited_in_bulkhead = with { bulkhead = 1, timeout = 30 },
  },
}
