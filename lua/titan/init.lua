--- Titan: workers written in Lua, as processes, called as if they were local.
---
--- `require "titan"` gives this table, in the manager's program and inside workers alike. Fields
--- are found when they are first used, so that a program loads only what it uses: titan.fields
--- says where each is.

local class = require "titan.class"
local core = require "titan.core"

---@class titan
local titan = { process = class.process }

return setmetatable(titan, {
  __index = core.later "titan.fields",
  __pairs = function(self)
    for name in pairs(require "titan.fields") do
      local _ = self[name]
    end
    return next, self
  end,
})
