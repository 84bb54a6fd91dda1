--- The manager: starts workers, knows them by name, tells what happens to them.

local config = require "titan.config"
local core = require "titan.core"
local errors = require "titan.errors"
local events = require "titan.events"
local health = require "titan.manager.health"
local heard = require "titan.manager.heard"
local limiting = require "titan.manager.limiting"
local metrics = require "titan.manager.metrics"
local names = require "titan.names"
local pooling = require "titan.manager.pooling"
local run = require "titan.run"
local serving = require "titan.manager.serving"
local shared_stores = require "titan.store.shared"
local spawner = require "titan.manager.spawner"
local starting = require "titan.manager.starting"
local stopping = require "titan.manager.stopping"
local supervising = require "titan.manager.supervising"
local text = require "titan.text"
local tracing = require "titan.manager.tracing"

local manager = {}

---@class titan.Manager
---@field config titan.Config
---@field spawner titan.Spawner what spawn and create_pool go through
---@field package handle userdata
---@field package services table<userdata, titan.Service> by the process
---@field package name_hints titan.NameHints
---@field package class_names table<string, string> what classes call themselves, by their file
---@field package events titan.Events
---@field package stopping integer how many stop_all are under way
---@field package supervisors table<titan.Supervisor, true> all that there are, weakly
---@field package running table<table, titan.Future> root supervisors and pools that are not stopped
---@field package pools table<string, titan.Pool> by name, until they are destroyed
---@field package stores titan.SharedStores
---@field package closed? boolean
local Manager = {}
Manager.__index = Manager
Manager.__name = "titan.Manager"

local parts <const> = {
  health, limiting, metrics, pooling, starting, stopping, supervising, tracing,
}

for _, methods in ipairs(parts) do
  for name, fn in pairs(methods) do
    Manager[name] = fn
  end
end

---@class titan.Service what the manager remembers of a process
---@field process userdata
---@field target titan.Target
---@field named boolean whether somebody gave it a name
---@field name string
---@field options titan.SpawnOptions
---@field limits titan.HeldLimits
---@field class_timeout? integer|false of its resources, for a class not known here
---@field started titan.Future settled when it is ready or has failed to become so
---@field finish_start fun(ok: boolean, ...)
---@field ended titan.Future settled when it has ended
---@field finish fun(ok: boolean, ...)
---@field proxy? table
---@field info? titan.ProxyInfo what the proxy knows of the process
---@field told_life? integer the restart_count of the life whose end was told last
---@field renamed? boolean whether its class has given it a name
---@field policy_of_class? fun(policy: table?): titan.RestartPolicy for a class not known here
---@field version? string
---@field security? titan.SecurityLayers what it was told
---@field sandbox? table what is in force, since it is ready
---@field health_checked? titan.Future while a task waits for the end of a check
---@field finish_health_check? fun(ok: boolean)
---@field span_source? titan.SpanSource
---@field start_error? table what the worker said of why it could not start
---@field dependencies titan.Dependency[] of the spawn and of the class
---@field awaits? titan.Service whose start its own start waits for

-- Creation -------------------------------------------------------------------------------

-- Preloads are resolved here, so that a missing one is an error of the manager's config.
---@param given string[]
---@return string[]
local function preloads(given)
  local resolved = {}
  for i, name in ipairs(given) do
    if name:find("/", 1, true) or name:find("%.lua$") then
      local path, why = core.realpath(name)
      if not path then
        errors.raise("invalid_config", string.format("config.preload[%d]: cannot load %q: %s", i,
          name, why))
      end
      name = path
    end
    resolved[i] = name
  end
  return resolved
end

---@param checked titan.Config
---@return titan.Manager
local function of_processes(checked)
  local self = setmetatable({
    config = checked, services = {}, class_names = {}, stopping = 0, events = events.new(),
    supervisors = setmetatable({}, { __mode = "k" }), running = {}, pools = {}, common_limits = {},
    name_hints = names.hints(),
  }, Manager)
  self.stores = shared_stores.new(checked.store, {
    open_ledger = function(space, max_entries)
      return core.ledger_open(self.handle, space, max_entries)
    end,
    owner_of = function(process)
      return self.services[process]
    end,
  })
  self.spawner = spawner.new(self)
  local boot = { path = package.path, cpath = package.cpath, preload = preloads(checked.preload) }
  self.handle = core.manager_open(boot, checked.limits, checked.logs.format,
    function(kind, process, ...)
      local service = self.services[process]
      return service and heard[kind](self, service, ...)
    end, checked.advanced.liveness_sweep_interval, checked.advanced.spare_worker,
    function(process, ...)
      return serving.serve(self, self.services[process], ...)
    end, checked.advanced.interrupt_grace, checked.advanced.threads,
    checked.advanced.spin_us)
  return self
end

--- The same, of a config that has been checked. With a spawner it has no processes of its own, and
--- passes on what it is asked: see titan.manager.delegated.
---@param checked titan.Config
---@param given? titan.Spawner
---@return titan.Manager
function manager.of(checked, given)
  if core.is_worker() then
    errors.raise("invalid_config", "titan.manager: a worker cannot have a manager of its own; "
      .. "call other services with titan.service(name)")
  end
  if not given and checked.testing.use_mock_spawner then
    given = require("titan.testing").mock_spawner()
  end
  local self = given and require("titan.manager.delegated").new(checked, given, Manager)
    or of_processes(checked)
  run.adopt(self)
  if not given then
    self:_open_tracing()
  end
  return self
end

--- Makes a manager. Its helper process starts at once; workers start with `spawn`.
--- Raises `invalid_config`.
---@param options? table see titan.config
---@return titan.Manager
function manager.new(options)
  return manager.of(config.check(options))
end

-- Finding ----------------------------------------------------------------------------------

---@param key string an id or a name
---@return titan.Service?, userdata? process
function Manager:_find(key)
  if type(key) ~= "string" then
    errors.raise("invalid_config", "expected the id or the name of a process, given "
      .. text.given(key))
  end
  local process = core.manager_find(self.handle, key)
  return process and self.services[process], process
end

---@param key string
---@return titan.Error
function Manager:_unknown(key)
  local known = {}
  for _, service in pairs(self.services) do
    known[#known + 1] = service.name
  end
  local nearest = core.suggest(key, known)
  return errors.new("destroyed", string.format("no process with the id or name %q is alive%s", key,
    nearest and string.format("; did you mean %q?", nearest) or ""))
end

-- Asking -----------------------------------------------------------------------------------

---@param service titan.Service?
---@param process userdata?
---@return table?
function Manager:_info(service, process)
  local info = core.process_info(process or service.process)
  if info and info.last_error then
    info.last_error = errors.new(info.last_error.code, info.last_error.message,
      { process = info.name })
  end
  if info then
    info.metrics = self:_metrics_summary(process or service.process)
  end
  if info and service then
    info.version = service.version
    info.sandbox = service.sandbox
    info.file = service.target.file
    info.health = self:_health_of(service, info)
    info.limits = self:_limits_info(service)
  end
  return info
end

--- The pool, or the proxy of the running process, of that name, or nil.
---@param name string
---@return table?
function Manager:discover(name)
  local service = self:_find(name)
  local pool = self.pools[name]
  return pool and pool.proxy or service and service.proxy
end

--- What is known of a process, also for a while after its end: id, name, pid, status
--- (pending, starting, running, stopping, stopped, failed, crashed), isolation, transport,
--- start_time and end_time (ms of the wall clock), uptime (ms), restart_count, exit,
--- exit_code, exit_signal, last_error, stdout_tail, stderr_tail, version, file, sandbox (with
--- `security`: see titan.config.security), limits (memory, cpu, rlimits, timeout, and by what each
--- is enforced), health (see titan.Health), activity (calls, errors, in_flight, lua_heap, running,
--- last_calls), and metrics
--- (calls, errors, in_flight, latency with p50 and p99 in ms). Nil when there is none.
---@param key string its id or name
---@return table?
function Manager:get_process_info(key)
  local service, process = self:_find(key)
  return process and self:_info(service, process)
end

--- All of them: those that ended first (the last 256), then those alive, oldest first.
---@return table[]
function Manager:get_all_processes()
  local all = {}
  for i, process in ipairs(core.manager_processes(self.handle)) do
    all[i] = self:_info(self.services[process], process)
  end
  return all
end

--- Kills what is left, frees everything. titan.run does this at its end.
function Manager:close()
  self.closed = true
  for supervisor in pairs(self.supervisors) do
    supervisor:_close()
  end
  self.running = {}
  self:_close_tracing()
  core.manager_close(self.handle)
  for _, pool in pairs(self.pools) do
    pool:_give_up(errors.new("destroyed", "the manager was closed", { process = pool.name }))
  end
  self.pools = {}
  local services = self.services
  self.services = {}
  for _, service in pairs(services) do
    service.finish_start(false, errors.new("destroyed", "the manager was closed",
      { process = service.name }))
    service.started:ignore()
    self:_health_waited(service)
    service.finish(true, {})
  end
  self.stores:close()
end

-- Events -----------------------------------------------------------------------------------

--- Calls `fn` at each event, in a task of its own. Events: process:spawn, process:ready,
--- process:restart and process:stop (with what get_process_info gives), process:crash (with a crash
--- report), child:start-failed (supervisor, name, critical, error), child:failed (supervisor, name,
--- critical, reason), supervisor:failed (name, parent, reason, error), pool:scale
--- (pool, from, to, reason), pool:memory (pool, name, memory, limit), pool:failed (pool, error),
--- health:change and health:critical (with id, name, pid, from, to, reason, details, failures and
--- process, what get_process_info gives), log
--- (with id, name, pid, stream, line, time).
---@param event string
---@param fn fun(data: table)
---@return fun(data: table) fn for `off`
function Manager:on(event, fn)
  return self.events:on(event, fn)
end

--- Takes a handler back.
---@param event string
---@param fn fun(data: table)
function Manager:off(event, fn)
  self.events:off(event, fn)
end

function Manager.workflow()
  errors.raise("invalid_config", text.not_built "workflows")
end

return manager
