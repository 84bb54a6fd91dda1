--- Calls other services.

local titan = require "titan"

return titan.process {
  all_methods_public = true,
  methods = {
    call = function(_, service, method, ...)
      local target = titan.service(service)
      return target[method](target, ...)
    end,
    call_within = function(_, timeout, service, method, ...)
      local target = titan.service(service):with { timeout = timeout }
      return target[method](target, ...)
    end,
    call_dependency = function(self, alias, method, ...)
      local target = self.dependencies[alias]
      return target[method](target, ...)
    end,
    aliases = function(self)
      local aliases = {}
      for alias in pairs(self.dependencies) do
        aliases[#aliases + 1] = alias
      end
      table.sort(aliases)
      return aliases
    end,
    -- What became of a call: its error, as the caller sees it.
    failure = function(_, service, method, ...)
      local target = titan.service(service)
      local ok, err = pcall(target[method], target, ...)
      return not ok and {
        is_error = titan.is_error(err), code = err.code, message = err.message,
        process = err.process, method = err.method, retryable = err.retryable,
        details = err.details, traceback = err.traceback,
      }
    end,
    all = function(_, service, count)
      local target, futures = titan.service(service), {}
      for i = 1, count do
        futures[i] = i % 2 == 0 and target.async:echo(i) or titan.go(function()
          return target:echo(i)
        end)
      end
      return titan.all(futures)
    end,
    combined = function(_, service)
      local target = titan.service(service)
      local raced = titan.race { titan.go(titan.sleep, "1h"), target.async:echo "won" }
      local timely = titan.timeout("1h", target.echo, target, "in time")
      local _, late = pcall(titan.timeout, 10, titan.sleep, "1h")
      local cancelled = titan.go(titan.sleep, "1h")
      cancelled:cancel()
      local _, err = pcall(cancelled.await, cancelled)
      return raced, timely, late.code, err.code
    end,
    run = function(_, code)
      return load(code)()
    end,
  },
}
