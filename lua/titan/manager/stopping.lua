--- How a manager stops and signals workers. These are methods of titan.Manager.

local core = require "titan.core"
local errors = require "titan.errors"
local schema = require "titan.schema"
local tasks = require "titan.tasks"
local text = require "titan.text"

---@class titan.Manager
local Manager = {}

---@param service titan.Service
---@param timeout integer? ms
function Manager:_stop(service, timeout)
  timeout = timeout or service.options.shutdown_timeout
    or self.config.advanced.graceful_shutdown_timeout
  core.process_stop(service.process, timeout)
  local info = service.ended:await()
  if info.last_error and info.last_error.code == "timeout" then
    return nil, errors.new("timeout", info.last_error.message, { process = info.name })
  end
  return true
end

---@param timeout any
---@return integer?
local function checked_timeout(timeout, where)
  return schema.check({ kind = "duration" }, timeout, where)
end

--- Stops a process: its on_shutdown methods run, calls in flight finish, and at the
--- deadline its whole process group is killed. Waits for its end.
---@param key string its id or name
---@param timeout? number|string 0 kills at once; default shutdown_timeout of the spawn, else
--- advanced.graceful_shutdown_timeout
---@return true? stopped nil, with an error, when it was not alive or had to be killed
---@return titan.Error?
function Manager:stop_process(key, timeout)
  core.current()
  local ms = checked_timeout(timeout, "stop_process.timeout")
  local service = self:_find(key)
  if not service then
    return nil, self:_unknown(key)
  end
  return self:_stop(service, ms)
end

-- Those that others depend on are stopped after them.
---@return table<string, titan.Service[]> dependents by name
function Manager:_dependents()
  local dependents = {}
  for _, service in pairs(self.services) do
    for _, dependency in ipairs(service.dependencies) do
      local list = dependents[dependency.service] or {}
      dependents[dependency.service] = list
      list[#list + 1] = service
    end
  end
  return dependents
end

-- Whether `last` depends on `service`, perhaps by way of others.
---@param dependents table<string, titan.Service[]>
---@param service titan.Service
---@param last titan.Service
---@param seen table<titan.Service, true>
---@return boolean
local function leads_to(dependents, service, last, seen)
  seen[service] = true
  for _, dependent in ipairs(dependents[service.name] or {}) do
    if dependent == last or not seen[dependent] and leads_to(dependents, dependent, last, seen) then
      return true
    end
  end
  return false
end

-- Nothing is spawned until this is closed, however stop_all ends.
---@param self titan.Manager
---@return table
local function stopping(self)
  self.stopping = self.stopping + 1
  return setmetatable({}, {
    __close = function()
      self.stopping = self.stopping - 1
    end,
  })
end

-- Supervisors and pools first: they would start again what is stopped.
---@param timeout? integer ms, of a pool's calls
function Manager:_stop_running(timeout)
  local stops = {}
  for kept in pairs(self.running) do
    stops[#stops + 1] = tasks.go(kept.stop, kept, timeout)
  end
  for _, stop in ipairs(stops) do
    stop:await()
  end
end

--- Stops every supervisor and every pool, then every process, at the same time, but each only
--- after those that depend on it. Those that depend on each other are stopped together.
---@param timeout? number|string for each; as in stop_process
---@return true? stopped nil, with the first error, when one had to be killed
---@return titan.Error?
function Manager:stop_all(timeout)
  core.current()
  local ms = checked_timeout(timeout, "stop_all.timeout")
  local stops, failure = {}, nil
  local _ <close> = stopping(self)
  self:_stop_running(ms)
  local dependents = self:_dependents()
  for _, service in pairs(self.services) do
    stops[#stops + 1] = tasks.go(function()
      for _, dependent in ipairs(dependents[service.name] or {}) do
        if not leads_to(dependents, dependent, service, {}) then
          dependent.ended:await()
        end
      end
      local ok, err = self:_stop(service, ms)
      failure = failure or not ok and err or nil
    end)
  end
  for _, stop in ipairs(stops) do
    stop:await()
  end
  self:_flush_spans()
  if failure then
    return nil, failure
  end
  return true
end

--- Sends a signal, SIGKILL unless another is named; SIGKILL goes to the whole process group.
---@param key string its id or name
---@param signal? string|integer "SIGTERM", "TERM" or 15
---@return true? sent
---@return titan.Error?
function Manager:kill(key, signal)
  local named = signal == nil or type(signal) == "string" or math.type(signal) == "integer"
  local number = named and core.signal_number(signal or "SIGKILL")
  if not number then
    errors.raise("invalid_config", string.format("kill.signal: there is no signal %s on this "
      .. "system; use a name such as \"SIGTERM\" or a number", text.literal(signal)))
  end
  local service = self:_find(key)
  if not service then
    return nil, self:_unknown(key)
  end
  local ok, why, code = core.process_kill(service.process, number)
  if not ok and code == "invalid_config" then
    errors.raise("invalid_config", string.format("kill.signal: %q is a thread of this process and "
      .. "takes no signal but SIGKILL; use stop_process, or isolation = \"process\"", key))
  elseif not ok then
    return nil, errors.new(code, string.format("cannot signal %q: %s", key, why))
  end
  return true
end

return Manager
