--- Says what it finds in its state, and leaves as much as it can.

local titan = require "titan"

local function sorted_names(of)
  local names = {}
  for name in pairs(of) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  return table.concat(names, " ")
end

local loaded, globals = sorted_names(package.loaded), sorted_names(_G)
local first = rawget(string, "pristine") == nil and rawget(_G, "left_behind") == nil
  and debug.getregistry().left_behind == nil and getmetatable("").__call == nil

return titan.process {
  methods = {
    leave = {
      public = true,
      function()
        left_behind = ("x"):rep(1000) -- luacheck: ignore 111
        string.pristine = false -- luacheck: ignore 142
        debug.getregistry().left_behind = true
        getmetatable("").__call = function() end
        package.loaded["titan.left_behind"] = true
      end,
    },
    found = {
      public = true,
      function()
        return first, loaded, globals
      end,
    },
    loaded_now = {
      public = true,
      function()
        return sorted_names(package.loaded)
      end,
    },
  },
}
