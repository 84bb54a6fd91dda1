--- The worker of the section streams.

local titan = require "titan"

return titan.process {
  all_methods_public = true,
  methods = {
    numbers = { stream = true, function(_, count)
      return function(_, i)
        i = (i or 0) + 1
        return i <= count and i or nil
      end
    end },
    blobs = { stream = true, function(_, count, len)
      local blob, i = ("x"):rep(len), 0
      return function()
        i = i + 1
        return i <= count and blob or nil
      end
    end },
  },
}
