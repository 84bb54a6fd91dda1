--- Shows its global variables.

local titan = require "titan"

return titan.process {
  name = "globals",
  all_methods_public = true,
  methods = {
    get = function(_, name)
      return _G[name]
    end,
    set = function(_, name, value)
      _G[name] = value
    end,
  },
}
