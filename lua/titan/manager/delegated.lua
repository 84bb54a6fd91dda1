--- A manager whose spawner is not Titan's own. It has no processes and no zygote: it keeps the
--- config and the event handlers, and passes on what it is asked.
--
-- Of a spawner, `spawn` alone must be there. Each of the methods below goes to the spawner's method
-- of the same name, if it has one; what it answers without one stands beside it.

local core = require "titan.core"
local errors = require "titan.errors"
local events = require "titan.events"
local schema = require "titan.schema"
local text = require "titan.text"

local delegated = {}

---@class titan.DelegatedManager: titan.Manager
---@field config titan.Config
---@field spawner titan.Spawner
---@field events titan.Events
local Delegated = {}

---@param key any
---@return nil
---@return titan.Error
local function unknown(_, key)
  return nil, errors.new("destroyed", string.format("no process with the id or name %s is alive",
    text.literal(key)))
end

---@type table<string, fun(self: titan.DelegatedManager, ...): ...>
local without <const> = {
  discover = function() end,
  get_process_info = function() end,
  get_all_processes = function()
    return {}
  end,
  get_metrics = function(_, key)
    return key == nil and {} or nil
  end,
  tracing = function() end,
  health = function()
    return { status = "healthy", checks = {}, timestamp = core.now_ms() }
  end,
  stop_process = unknown,
  kill = unknown,
  stop_all = function()
    return true
  end,
  close = function() end,
  _await_running = function() end,
}

for name, answer in pairs(without) do
  Delegated[name] = function(self, ...)
    local method = self.spawner[name]
    if method then
      return method(self.spawner, ...)
    end
    return answer(self, ...)
  end
end

--- As that of titan.Manager, whatever the spawner makes of it.
---@param given string|titan.Class
---@param options? table
---@return table proxy
function Delegated:spawn(given, options)
  return self.spawner:spawn(given, options)
end

---@param event string
---@param fn fun(data: table)
---@return fun(data: table) fn
function Delegated:on(event, fn)
  return self.events:on(event, fn)
end

---@param event string
---@param fn fun(data: table)
function Delegated:off(event, fn)
  self.events:off(event, fn)
end

-- What only a manager of processes has is refused by its name.
---@param real table the methods of titan.Manager
---@return fun(self: titan.DelegatedManager, key: any): any
local function finder(real)
  return function(self, key)
    if Delegated[key] ~= nil then
      return Delegated[key]
    elseif type(real[key]) ~= "function" then
      return nil
    end
    local spawner = rawget(self, "spawner")
    if type(spawner[key]) == "function" then
      return function(_, ...)
        return spawner[key](spawner, ...)
      end
    end
    return function()
      errors.raise("invalid_config", string.format("this manager's spawner (%s) has no %s",
        tostring(spawner):gsub(": 0x%x+$", ""), key))
    end
  end
end

---@param given any
local function check_spawner(given)
  local ok, spawn = pcall(function()
    return given.spawn
  end)
  if not ok or type(spawn) ~= "function" then
    schema.refuse("spawner", ok and "it has no method spawn" or "expected a spawner, given "
      .. text.given(given), given, "an object with a method spawn(class, options), which returns a "
      .. "proxy")
  end
end

--- Raises `invalid_config` when the spawner is none.
---@param config titan.Config
---@param given titan.Spawner
---@param real table the methods of titan.Manager
---@return titan.DelegatedManager
function delegated.new(config, given, real)
  check_spawner(given)
  local self = setmetatable({ config = config, spawner = given, events = events.new() }, {
    __name = "titan.Manager", __index = finder(real),
  })
  if given.attach then
    given:attach(self)
  end
  return self
end

return delegated
