-- A worker that makes the best of a service that is not always well. A call passes the annotations
-- from above to below: the order in which they are written here does not matter to Titan.
local titan = require "titan"

return titan.process {
  init = function(self)
    self.known = {}
  end,
  methods = {
    convert = {
      public = true,
      -- The rate of yesterday is better than none.
      fallback = function(self, err, amount, currency)
        return amount * self.known[currency], "yesterday's rate, since " .. err.code
      end,
      -- A line that is cut works at the second try.
      retry = {
        attempts = 3, delay = 10, backoff = { type = "linear", initial = 10, max = 50 },
        retry_if = function(err)
          return err.code ~= "overloaded"
        end,
      },
      -- What fails three times in a row is left alone, and nobody has to wait for it.
      circuit_breaker = { failure_threshold = 3, timeout = 300 },
      -- A rush is not passed on.
      bulkhead = { max_concurrent = 2, max_queue = 2 },
      timeout = 250,
      function(self, amount, currency)
        local rate = titan.service "rates":of(currency)
        self.known[currency] = rate
        return amount * rate, "today's rate"
      end,
    },
  },
}
