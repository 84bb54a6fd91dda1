-- What real workers and those of the mock spawner are to do alike.

local titan = require "titan"

local doubling = {
  schema = { kind = "boolean" },
  wrap = function(inner)
    return function(self, value)
      return 2 * inner(self, value)
    end
  end,
}

local loads = 0

return titan.process {
  name = "mocked",
  version = "1.2.3",
  annotations = { doubling = doubling },
  init = function(self, options)
    loads = loads + 1
    if options.broken then
      error("init broke", 0)
    elseif options.rest then
      titan.sleep(options.rest)
    end
    options.seen = true
    self.options, self.loads = options, loads
  end,
  methods = {
    echo = { public = true, function(_, ...)
      return ...
    end },
    twice = { public = true, doubling = true, function(_, value)
      return value
    end },
    own_twice = { public = true, function(self, value)
      return self:twice(value), self.name, self.loads, self.options.level
    end },
    keep = { public = true, function(self, value)
      value.touched = true
      self.kept = value
      return self.kept
    end },
    raise = { public = true, function(_, err)
      error(err, 0)
    end },
    leak = { public = true, function()
      return 1, print
    end },
    sleep = { public = true, function(_, duration)
      titan.sleep(duration)
      return "slept"
    end },
    work = { public = true, idempotent = true, function(_, duration)
      titan.sleep(duration)
      return "done"
    end },
    linger = { public = true, function(self)
      local _ <close> = setmetatable({}, { __close = function()
        self.left = true
      end })
      titan.sleep "1h"
    end },
    has_left = { public = true, function(self)
      return self.left
    end },
    start_loop = { public = true, function(self)
      self.turns = 0
      titan.go(function()
        while true do
          titan.sleep "1m"
          self.turns = self.turns + 1
        end
      end)
    end },
    count_turns = { public = true, function(self)
      return self.turns
    end },
    ask = { public = true, function(_, service, method, ...)
      local target = titan.service(service)
      return target[method](target, ...)
    end },
    ask_later = { public = true, function(_, service, method, ...)
      return titan.go(function(...)
        local target = titan.service(service)
        return target[method](target, ...)
      end, ...):await()
    end },
    ask_dependency = { public = true, function(self, alias, method, ...)
      local target = self.dependencies[alias]
      return target[method](target, ...)
    end },
    secret = function() end,
    how = { health_check = true, function(self)
      return { status = self.options.status or "healthy", reason = self.options.reason }
    end },
    finish = { on_shutdown = true, function(self)
      if self.options.tells then
        titan.service(self.options.tells):echo("finished")
      end
    end },
  },
}
