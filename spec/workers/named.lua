--- A class with a name, and surroundings, of its own.

local luv = require "luv"
local titan = require "titan"

return titan.process {
  name = "a-named-class",
  version = "1.2.3",
  description = "tells where it is",
  all_methods_public = true,
  env = { TITAN_SPEC_LEVEL = "class", TITAN_SPEC_CLASS = 5, TITAN_SPEC_OUTER = false },
  cwd = "/usr",
  methods = {
    env = function(_, name)
      return os.getenv(name)
    end,
    cwd = function()
      return luv.cwd()
    end,
    name = function(self)
      return self.name
    end,
  },
}
