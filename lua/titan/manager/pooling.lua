--- How a manager makes pools. These are methods of titan.Manager.

local core = require "titan.core"
local errors = require "titan.errors"
local locate = require "titan.locate"
local pool = require "titan.pool"
local pool_config = require "titan.config.pool"

---@class titan.Manager
local Manager = {}

---@param target titan.Target
---@param options titan.PoolOptions
---@param where string
---@return string
function Manager:_pool_name(target, options, where)
  if not options.name then
    return self:_free_name(target.class and target.class.name or self.class_names[target.file]
      or target.name)
  end
  self:_claim(options.name, where .. ".name")
  return options.name
end

--- Makes a pool and waits until `min` of its workers are ready (all, if that is not given).
--- Raises `invalid_config`, or what the first worker that could not start failed with, and then
--- leaves nothing behind.
---@param given string|titan.Class a module name, a file path, or what titan.process returned
---@param options? table see titan.config.pool
---@return table pool
function Manager:create_pool(given, options)
  return self.spawner:create_pool(given, options)
end

-- What the spawner of processes does.
---@param given string|titan.Class
---@param options? table
---@return table pool
function Manager:_create_pool(given, options)
  core.current()
  local target = locate.find(given)
  if target.class and type(options) == "string" then
    options = nil -- pm:create_pool(require "image_worker"): require returns a path as well
  end
  local checked = pool_config.check(options, self.config, "pool")
  local name = self:_pool_name(target, checked, "pool")
  if self.stopping > 0 then
    errors.raise("shutting_down", "the manager is stopping all its processes")
  end
  local made = pool.new(self, target, checked, name, "pool")
  made:_start()
  local ok, why = pcall(made.starting.await, made.starting)
  if not ok then
    made:stop(0)
    error(why, 0)
  end
  return made.proxy
end

return Manager
