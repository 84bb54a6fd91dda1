-- Methods that are traced, and some that are not.
local core = require "titan.core"
local titan = require "titan"

local function traceparent()
  local context = core.context()
  return context and context.traceparent
end

return titan.process {
  name = "traced", all_methods_public = true,
  methods = {
    context = { trace = true, function()
      local context = core.context() or {}
      return { traceparent = context.traceparent, tracestate = context.tracestate,
        headers = context.headers }
    end },
    named = { trace = { name = "a name", attributes = { static = 1 } }, traceparent },
    described = {
      trace = { attributes = function(a, b)
        return { first = a, second = b, third = {}, [1] = "no name" }
      end },
      function(_, ...)
        return ...
      end,
    },
    badly_described = { trace = { attributes = function() error "attributes failed" end },
      function(_, ...)
        return ...
      end },
    leaf = { trace = true, traceparent },
    inside = { trace = true, function(self)
      self:leaf()
      return traceparent()
    end },
    plain = traceparent,
    plain_inside = function(self)
      return self:leaf()
    end,
    -- Calls on, from service to service: `path` is a list of { service, method }.
    travel = { trace = true, function(_, path)
      local step = table.remove(path, 1)
      return step and titan.service(step[1])[step[2]](titan.service(step[1]), path)
    end },
    pass = function(_, path)
      local step = table.remove(path, 1)
      return step and titan.service(step[1])[step[2]](titan.service(step[1]), path)
    end,
    fan_out = { trace = true, function(self)
      titan.all { titan.go(self.leaf, self), titan.go(self.leaf, self) }
    end },
    in_coroutine = { trace = true, function(self)
      return coroutine.wrap(function()
        self:leaf()
      end)()
    end },
    spans = { trace = true, function(self)
      local before = traceparent()
      local results = table.pack(titan.span("outer", { a = 1 }, function(...)
        titan.span("inner", self.leaf, self)
        return ...
      end, 1, nil))
      return results.n, before == traceparent()
    end },
    fail = { trace = true, function(_, err)
      error(err, 0)
    end },
    fail_with_code = { trace = true, function()
      local _, err = pcall(titan.go, 5)
      error(err, 0)
    end },
    catch = { trace = true, function(self)
      local before = traceparent()
      local ok = pcall(self.fail, self, "caught")
      return ok, before == traceparent()
    end },
    sleep = { trace = true, function(_, duration)
      titan.sleep(duration)
    end },
    many = function(self, count)
      for _ = 1, count do
        self:leaf()
      end
    end,
    timed = function(self, method, count)
      local started = core.monotonic_ms()
      for _ = 1, count do
        self[method](self)
      end
      return (core.monotonic_ms() - started) / count * 1e6
    end,
    send_spans = function(_, ...)
      core.service_method(nil, nil, "add", ":spans", 1000)(nil, ...)
    end,
    pid = function()
      return io.open "/proc/self/stat":read "n"
    end,
    crash = function()
      os.exit(3, false)
    end,
  },
}
