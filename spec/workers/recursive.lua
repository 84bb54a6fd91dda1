--- Calls itself, by its own name.

local titan = require "titan"

return titan.process {
  all_methods_public = true,
  methods = {
    factorial = function(self, n)
      return n < 2 and 1 or n * titan.service(self.name):factorial(n - 1)
    end,
  },
}
