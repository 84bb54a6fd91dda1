--- Says how long its loop looks for messages before it sleeps.

local core = require "titan.core"
local titan = require "titan"

return titan.process {
  all_methods_public = true,
  methods = {
    spin_us = function()
      return core.spin_us()
    end,
    add = function(_, a, b)
      return a + b
    end,
  },
}
