--- Says and sets what belongs to the native thread that it runs on.

local titan = require "titan"

return titan.process {
  methods = {
    pass = { public = true, function() end },
    niceness = {
      public = true,
      function()
        return require("luv").os_getpriority(0)
      end,
    },
    be_nice = {
      public = true,
      function()
        return require("luv").os_setpriority(0, 7)
      end,
    },
  },
}
