-- A class that says what it lives in.

local titan = require "titan"

return titan.process {
  name = "isolated", isolation = "worker", all_methods_public = true,
  methods = {
    add = function(_, a, b)
      return a + b
    end,
  },
}
