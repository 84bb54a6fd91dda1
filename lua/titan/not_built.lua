--- What stands for a part of Titan that does not exist yet.

local errors = require "titan.errors"
local text = require "titan.text"

local not_built = {}

--- A function that raises `invalid_config`.
---@param kind string what the titan table calls it
---@return fun()
function not_built.of(kind)
  return function()
    errors.raise("invalid_config", text.not_built("titan." .. kind))
  end
end

for _, kind in ipairs { "workflow", "actor" } do
  not_built[kind] = not_built.of(kind)
end

return not_built
