--- Looks at Lua's own libraries, of which a state on a thread makes some when they are wanted.

local library_names = require "support.library_names"
local titan = require "titan"

return titan.process {
  all_methods_public = true,
  methods = {
    names = function(_, library)
      return library_names(library)
    end,
    read = function(_, library, name)
      return type(_G[library][name])
    end,
    is_loaded = function(_, library)
      return rawequal(package.loaded[library], _G[library])
        and rawequal(require(library), _G[library])
    end,
    -- Before anybody has looked into the library.
    replace = function()
      local library = _G.math
      library.floor = function()
        return "mine"
      end
      library.extra = 7
      return math.floor(1.5), math.ceil(1.5), library.extra, rawequal(library, math)
    end,
    has_metatable = function(_, library)
      local _ = _G[library].huge
      return getmetatable(_G[library]) ~= nil
    end,
    write = function(_, text)
      io.write(text, "\n")
      io.stderr:write(text, " to stderr\n")
      return io.type(io.stdout), io.output() == io.stdout, tostring(io.stdout:close())
    end,
    count = function()
      return math.type(utf8.len "grün"), os.time() > 0, debug.traceback("here"):match "^%w+"
    end,
  },
}
