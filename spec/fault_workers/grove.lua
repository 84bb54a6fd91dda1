--- A supervisor in a module of its own.

local titan = require "titan"

return titan.supervisor {
  name = "grove",
  strategy = "rest_for_one",
  methods = {
    oak = {
      child = { order = 2, options = { env = { SONG = "leaves" } } },
      function()
        return "fault_workers.phoenix"
      end,
    },
    ash = {
      child = { order = 1, critical = true },
      function()
        return "fault_workers.phoenix"
      end,
    },
    thicket = {
      child = { order = 3, restart = "transient" },
      function()
        return titan.supervisor {
          children = { { name = "fern", process = "fault_workers.phoenix" } },
        }
      end,
    },
    beech = {
      child = { order = 2 },
      function()
        return require "fault_workers.phoenix"
      end,
    },
  },
}
