-- Streams with other annotations around them.
local titan = require "titan"

local function count(_, n, pause)
  local i = 0
  return function()
    i = i + 1
    if pause and i > 1 then
      titan.sleep(pause)
    end
    return i <= n and i or nil
  end
end

return titan.process {
  name = "annotated-stream", all_methods_public = true,
  methods = {
    checked = {
      stream = true, validate = { args = { "integer" }, result = { type = "integer", max = 3 } },
      count,
    },
    alone = { stream = true, bulkhead = 1, count },
    counted = { stream = true, metric = { counter = "streams" }, count },
    bounded = { stream = true, timeout = 40, count },
    broken = { stream = true, circuit_breaker = { failure_threshold = 1 }, function()
      return function()
        error("broken", 0)
      end
    end },
    left = { stream = true, function()
      local i = 0
      return function()
        i = i + 1
        return i <= 2 and titan.context().time_left or nil
      end
    end },
    here = function(self, n)
      local sum = 0
      for i in self:checked(n) do
        sum = sum + i
      end
      return sum
    end,
  },
}
