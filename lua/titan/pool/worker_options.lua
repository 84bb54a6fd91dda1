--- The options of one worker of a pool: those of its factory go over those of all.

local config = require "titan.config"
local schema = require "titan.schema"

local worker_options = {}

---@param options titan.PoolOptions
---@param class? titan.Class
---@param index integer
---@param health? table|false of the pool, for a worker whose own options do not say
---@return titan.SpawnOptions
function worker_options.of(options, class, index, health)
  local given, where = {}, "pool.spawn_options"
  for key, value in pairs(options.spawn_options) do
    given[key] = value
  end
  local factory = options.spawn_options_factory
  if factory then
    where = string.format("pool.spawn_options_factory(%d)", index)
    local more = schema.check({ kind = "any", type = "table", default = {},
      allowed = "a table of options of spawn" }, factory(index), where)
    for key, value in pairs(more) do
      given[key] = value
    end
  end
  if given.health == nil then
    given.health = health
  end
  local checked = config.spawn_options(given, class, where)
  checked.startup_given = given.startup_timeout ~= nil
  return checked
end

return worker_options
