--- How a manager starts workers: their names, what they depend on, their proxies. These are
--- methods of titan.Manager.

local config = require "titan.config"
local core = require "titan.core"
local errors = require "titan.errors"
local locate = require "titan.locate"
local names = require "titan.names"
local proxy = require "titan.proxy"
local restarts = require "titan.config.restarts"
local security = require "titan.config.security"
local tasks = require "titan.tasks"

---@class titan.Manager
local Manager = {}

-- Whether neither a living process nor a pool has the name.
---@param name string
---@param except userdata?
---@return boolean
function Manager:_is_free(name, except)
  local taken = core.manager_find(self.handle, name)
  return not self.pools[name]
    and (not taken or taken == except or select(2, core.process_state(taken)))
end

---@param name string one that nobody chose
---@param except userdata?
---@return string
function Manager:_free_name(name, except)
  return names.free(name, function(candidate)
    return self:_is_free(candidate, except)
  end, self.name_hints)
end

---@param name string
---@param where? string the path of the name; "options.name" unless told
function Manager:_claim(name, where)
  where = where or "options.name"
  if self.pools[name] then
    errors.raise("invalid_config", string.format("%s: %q is the name of a pool already", where,
      name))
  end
  local taken = core.manager_find(self.handle, name)
  if taken and not select(2, core.process_state(taken)) then
    local info = core.process_info(taken)
    local why = string.format("%s: %q is the name of %s already (%s%s)", where, name, info.id,
      info.status, info.pid and ", pid " .. info.pid or "")
    errors.raise("invalid_config", why)
  end
end

-- Raises what the start failed with. Two that wait for each other would wait for ever.
---@param service titan.Service
---@param waiter titan.Service?
local function await_start(service, waiter)
  local at = waiter and service
  while at do
    if at == waiter then
      errors.raise("spawn_failed", "which waits for it to start")
    end
    at = at.awaits
  end
  if waiter then
    waiter.awaits = service
  end
  service.started:await()
  if waiter then
    waiter.awaits = nil
  end
end

-- Waits until every one of them runs; raises when one does not and will not.
---@param name string who depends on them
---@param dependencies { service: string }[]
---@param waiter? titan.Service the same, when it is a process already
function Manager:_await_dependencies(name, dependencies, waiter)
  for _, dependency in ipairs(dependencies) do
    local service, pool = self:_find(dependency.service), self.pools[dependency.service]
    local ok, err = false, nil
    if pool then
      ok, err = pcall(pool.starting.await, pool.starting)
    elseif service then
      ok, err = pcall(await_start, service, waiter)
    end
    if errors.is(err) and err.code == "cancelled" then
      error(err, 0) -- it is the waiting that was given up
    elseif not ok then
      err = err or self:_unknown(dependency.service)
      errors.raise("spawn_failed", string.format("worker %q did not start: it depends on %q: %s",
        name, dependency.service, errors.is(err) and err.message or tasks.text_of(err)))
    end
  end
end

--- What a proxy has beside the methods of its process.
---@param service titan.Service
---@param id string of the process
---@return table<string, function>
function Manager:_proxy_functions(service, id)
  return {
    __id = function()
      return id
    end,
    __destroy = function()
      return self:stop_process(id)
    end,
    __metrics = function()
      return self:get_metrics(id)
    end,
    __health = function()
      return self:_health(service)
    end,
  }
end

---@param service titan.Service
---@param said { methods: table<string, integer|false>, keyed: table<string, titan.Keyed> }
function Manager:_new_proxy(service, said)
  service.info = { name = service.name, methods = said.methods, keyed = said.keyed }
  local id = core.process_info(service.process).id
  local timeout = self:_call_timeout(service)
  local own = self:_proxy_functions(service, id)
  service.proxy = proxy.new(proxy.of_process(service.process, service.info, own, timeout or 0, {
    stores = self.stores,
    scope = function()
      return service.pool and service.pool.name or service.name
    end,
    keyed = function(name)
      return service.info.keyed[name]
    end,
  }))
end

-- Of a spec, only the options for init may hold what cannot travel.
---@param err any
---@return any
local function untravelling(err)
  if not errors.is(err) or err.code ~= "validation_failed" then
    return err
  end
  return errors.new("invalid_config", (err.message:gsub("^value", "options")))
end

-- What belongs to a whole process cannot be given to a thread of one.
---@param isolation titan.Isolation
---@param options titan.SpawnOptions
local function check_isolation(isolation, options)
  if isolation == "process" then
    return
  end
  local refused = options.cwd and "cwd" or next(options.env) ~= nil and "env"
  if refused then
    errors.raise("invalid_config", string.format("options.%s: belongs to a process, and isolation "
      .. "%q shares the manager's; hand it to init in `options`, or use isolation = \"process\"",
      refused, isolation))
  end
end

---@param target titan.Target
---@param options titan.SpawnOptions
---@param keeper? { handle: userdata, key: string|integer, pool: titan.Pool? } the supervisor and
--- the name of the child, or the pool and the number of its worker
---@return titan.Service
function Manager:_launch(target, options, keeper)
  local pool = keeper and keeper.pool
  local class_name = target.class and target.class.name or self.class_names[target.file]
  local name = options.name or self:_free_name(class_name or target.name)
  local timeout = self.config.resources.timeout or 0
  local isolation = options.isolation or self.config.isolation
  check_isolation(isolation, options)
  local held = self:_limits(options, target.class and target.class.resources)
  local spec = {
    resources = self:_limits_spec(held, nil), class_known = target.class ~= nil,
    class_name = class_name,
    module = target.module, file = target.file, name = name, named = options.name ~= nil,
    options = options.options, env = options.env, cwd = options.cwd, isolation = isolation,
    isolation_given = options.isolation ~= nil,
    dependencies = options.dependencies, limits = self.config.limits, timeout = timeout,
    latencies = self.config.monitoring.metrics, scope = pool and pool.name or nil,
    awaits_all = keeper ~= nil and not pool, tracing = self:_tracing_spec(),
    security = security.layers(isolation, self.config.security,
      target.class and target.class.security, options.security),
  }
  local service = { manager = self, target = target, options = options, name = name, pool = pool,
    limits = held, named = options.name ~= nil,
    dependencies = { table.unpack(options.dependencies) } }
  service.security = spec.security
  service.started, service.finish_start = tasks.promise()
  service.ended, service.finish = tasks.promise()
  local class_policy = target.class and target.class.restart_policy
  local function policy(of_class)
    return restarts.merged(self.config.restart_policy, of_class, options.restart_policy)
  end
  service.policy_of_class = not target.class and (not keeper or pool) and policy or nil
  local ok, process = pcall(core.manager_spawn, self.handle, name, spec, options.startup_timeout,
    timeout, policy(class_policy), isolation, keeper and keeper.handle, keeper and keeper.key)
  if not ok then
    error(untravelling(process), 0)
  end
  service.process = process
  self:_limit(process, held)
  self.services[process] = service
  return service
end

--- Starts a worker and waits until it is ready.
---
--- Raises `invalid_config`; `spawn_failed` with the worker's own words and the end of its
--- stderr; `startup_timeout`; `shutting_down`.
---@param given string|titan.Class a module name, a file path, or what titan.process returned
---@param options? table name, options (for init), env, cwd, startup_timeout (10000 ms),
--- dependencies, timeout, shutdown_timeout
---@return table proxy
function Manager:spawn(given, options)
  return self.spawner:spawn(given, options)
end

-- What the spawner of processes does.
---@param given string|titan.Class
---@param options? table
---@return table proxy
function Manager:_spawn(given, options)
  core.current()
  local target = locate.find(given)
  if target.class and type(options) == "string" then
    options = nil -- pm:spawn(require "image_worker"): require returns a path as well
  end
  local checked = config.spawn_options(options, target.class)
  checked.startup_given = options ~= nil and options.startup_timeout ~= nil
  self:_await_dependencies(checked.name or target.name, checked.dependencies)
  if checked.name then
    self:_claim(checked.name)
  end
  if self.stopping > 0 then
    errors.raise("shutting_down", "the manager is stopping all its processes")
  end
  local service = self:_launch(target, checked)
  local ok, why = pcall(service.started.await, service.started)
  if not ok then
    core.process_stop(service.process, 0) -- when it was the waiting that was given up
    error(why, 0)
  end
  return service.proxy
end

return Manager
