--- The worker of the section buffers.

local titan = require "titan"

return titan.process {
  all_methods_public = true,
  methods = {
    -- Of what is in it: out, and in again.
    copy = function(_, buffer)
      buffer:write(1, buffer:read())
    end,
    echo = function(_, buffer)
      return buffer
    end,
  },
}
