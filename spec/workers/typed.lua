--- Does a little of everything that a manager tells of: see spec/types_spec.lua.

local titan = require "titan"

return titan.process {
  name = "typed",
  version = "1.0.0",
  methods = {
    get = { public = true, metric = { counter = "gets", histogram = "gets.ms" }, function(_, key)
      print(key)
      return key
    end },
    how = { health_check = true, function()
      return { status = "degraded", reason = "it is a test" }
    end },
  },
}
