--- The worker that bench.lua measures: methods that do next to nothing.

local titan = require "titan"

return titan.process {
  methods = {
    add = {
      public = true,
      function(_, a, b)
        return a + b
      end,
    },
    echo = {
      public = true,
      function(_, ...)
        return ...
      end,
    },
    burn = {
      public = true,
      function(_, us)
        local start = os.clock() -- CPU time of this process
        while (os.clock() - start) * 1e6 < us do
        end
      end,
    },
    nothing = { public = true, function() end },
  },
}
