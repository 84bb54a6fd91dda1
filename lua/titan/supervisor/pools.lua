--- Pools as children of a supervisor: started, stopped, and started again when they have failed.
--- Each function gets the supervisor and the name of the child.

local core = require "titan.core"
local errors = require "titan.errors"
local pool = require "titan.pool"
local pool_config = require "titan.config.pool"
local tasks = require "titan.tasks"

local pools = {}

-- Who hears what becomes of a pool that is up.
---@param self titan.Supervisor
---@param name string
---@return table
local function keeper(self, name)
  local child = self.children[name]
  return {
    failed = function(err)
      if not child.is_starting then
        core.supervisor_report(self.handle, name, "crashed", err.message)
      end
    end,
    ended = function()
      if not child.is_starting and not child.is_stopping then
        core.supervisor_report(self.handle, name, "withdrawn")
      end
    end,
  }
end

---@param self titan.Supervisor
---@param name string
local function run_start(self, name)
  local child, manager = self.children[name], self.manager
  if not child.pool then
    manager:_claim(name)
    child.pool = pool.new(manager, child.declaration.target, child.options, name, "options")
    child.pool.keeper = keeper(self, name)
  end
  child.pool:_start()
  child.pool.starting:await()
end

--- Told by the core to start it.
function pools.start(self, name)
  local child = self.children[name]
  child.is_starting, child.is_stopping = true, false
  tasks.go(function()
    local ok, err = pcall(run_start, self, name)
    if child.is_stopping then
      return
    elseif not ok and child.pool then
      child.pool:stop(0)
    end
    child.is_starting = false
    child.error = not ok and (errors.is(err) and err or errors.new("spawn_failed",
      tasks.text_of(err))) or nil
    core.supervisor_report(self.handle, name, ok and "up" or "start_failed",
      child.error and child.error.message)
  end)
end

--- Told by the core to stop it within so many ms.
function pools.stop(self, name, timeout)
  local child = self.children[name]
  child.is_stopping = true
  tasks.go(function()
    if child.pool then
      child.pool:stop(timeout)
    end
    child.is_starting = false
    core.supervisor_report(self.handle, name, "down")
  end)
end

--- It has been removed, and is down.
---@param child titan.SupervisedChild
function pools.forget(child)
  if child.pool then
    child.pool.keeper = nil
    child.pool:stop(0)
  end
end

--- The options of a child that is a pool. Raises `invalid_config`.
---@param self titan.Supervisor
---@param declaration titan.ChildDeclaration
---@return titan.PoolOptions
function pools.options(self, declaration)
  return pool_config.check(declaration.options, self.manager.config, declaration.path .. ".options")
end

return pools
