--- What spawns: the manager's way to processes. Another one can stand in its place, such as
--- titan.testing's, which makes none: see titan.manager.delegated.

local spawner = {}

---@class titan.Spawner
---@field spawn fun(self: titan.Spawner, given: string|titan.Class, options?: table): table proxy
---@field create_pool? fun(self: titan.Spawner, given: string|titan.Class, options?: table): table
---@field attach? fun(self: titan.Spawner, manager: titan.Manager) called by the manager it is for

---@class titan.ProcessSpawner: titan.Spawner
---@field package manager titan.Manager
local ProcessSpawner = {}
ProcessSpawner.__index = ProcessSpawner
ProcessSpawner.__name = "titan.ProcessSpawner"

--- As `pm:spawn`, which asks this.
---@param given string|titan.Class
---@param options? table
---@return table proxy
function ProcessSpawner:spawn(given, options)
  return self.manager:_spawn(given, options)
end

--- As `pm:create_pool`, which asks this.
---@param given string|titan.Class
---@param options? table
---@return table pool
function ProcessSpawner:create_pool(given, options)
  return self.manager:_create_pool(given, options)
end

---@param manager titan.Manager
---@return titan.ProcessSpawner
function spawner.new(manager)
  return setmetatable({ manager = manager }, ProcessSpawner)
end

return spawner
