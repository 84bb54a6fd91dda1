--- Tells how it was started.

local luv = require "luv"
local titan = require "titan"

local loaded = { pid = luv.os_getpid(), level = os.getenv "TITAN_SPEC_LEVEL", cwd = luv.cwd() }

return titan.process {
  all_methods_public = true,
  init = function(self, options)
    self.options = options
    self.begun = { level = os.getenv "TITAN_SPEC_LEVEL", cwd = luv.cwd() }
    if options.rest then
      titan.sleep(options.rest)
    end
    self.rested = true
  end,
  methods = {
    options = function(self)
      return self.options
    end,
    rested = function(self)
      return self.rested
    end,
    loaded = function()
      return loaded
    end,
    begun = function(self)
      return self.begun
    end,
    env = function(_, name)
      return os.getenv(name)
    end,
    cwd = function()
      return luv.cwd()
    end,
    pid = function()
      return luv.os_getpid()
    end,
    name = function(self)
      return self.name
    end,
  },
}
