-- Two methods whose metrics have the same name where metrics are collected, but not the same kind.
local titan = require "titan"

return titan.process {
  name = "mixed",
  methods = {
    a = { public = true, metric = "a.calls", function() end },
    b = { public = true, metric = { histogram = "a_calls" }, function() end },
  },
}
