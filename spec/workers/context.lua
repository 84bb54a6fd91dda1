-- What a call knows of itself, and what goes along with the calls it makes.
local core = require "titan.core"
local titan = require "titan"

local function seen()
  local context = titan.context()
  local raw = core.context() or {}
  context.traceparent, context.tracestate = raw.traceparent, raw.tracestate
  return context
end

return titan.process {
  name = "context", all_methods_public = true,
  methods = {
    seen = seen,
    seen_by = function(_, name)
      return titan.service(name):seen()
    end,
    seen_by_options = function(_, name, options)
      return titan.service(name):with(options):seen()
    end,
    seen_inside = function()
      return titan.go(seen):await()
    end,
    seen_within = function(_, duration)
      return titan.timeout(duration, seen)
    end,
    -- Returns; the task it leaves goes on when `let_go` is called.
    leave = function(self)
      self.left = titan.go(function()
        local before = core.time_left()
        self.waits = coroutine.running()
        core.park()
        self.times = { before = before, after = core.time_left() }
      end)
    end,
    let_go = function(self)
      core.unpark(self.waits)
      self.left:await()
      return self.times
    end,
    sleep = function(_, duration)
      titan.sleep(duration)
    end,
    sleep_at = function(self, name, duration)
      local guard <close> = setmetatable({}, { __close = function(_, err)
        self.unwound = err and err.code
      end })
      titan.service(name):with({ timeout = false }):sleep(duration)
    end,
    was_unwound = function(self)
      return self.unwound
    end,
    limited = function(_, ms, code)
      local err = setmetatable({ code = code }, { __tostring = function() return code end })
      local limit <close> = core.time_limit(ms, err)
      titan.sleep "10s"
    end,
    limited_call = function(_, ms, name)
      local limit <close> = core.time_limit(ms, "the limit")
      return titan.service(name):sleep "10s"
    end,
    limit_nested = function()
      local lefts = {}
      do
        local outer <close> = core.time_limit(5000, "outer")
        do
          local inner <close> = core.time_limit(50, "inner")
          lefts[1] = core.time_left()
        end
        lefts[2] = core.time_left()
      end
      lefts[3] = core.time_left()
      return lefts
    end,
    detached = function()
      return titan.go(function()
        core.detach()
        return core.time_left() == nil and core.context() == nil
      end):await()
    end,
    ask_the_manager = function(_, service)
      return core.service_method(nil, nil, "nothing", service, 1000)(nil)
    end,
  },
}
