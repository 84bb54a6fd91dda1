--- The manager: starts workers, knows them by name, tells what happens to them.

local announced = require "titan.announced"
local config = require "titan.config"
local core = require "titan.core"
local crash = require "titan.crash"
local errors = require "titan.errors"
local events = require "titan.events"
local locate = require "titan.locate"
local proxy = require "titan.proxy"
local run = require "titan.run"
local tasks = require "titan.tasks"
local text = require "titan.text"

local manager = {}

---@class titan.Manager
---@field config titan.Config
---@field package handle userdata
---@field package services table<userdata, titan.Service> by the process
---@field package class_names table<string, string> what classes call themselves, by their file
---@field package events titan.Events
---@field package stopping integer how many stop_all are under way
local Manager = {}
Manager.__index = Manager
Manager.__name = "titan.Manager"

---@class titan.Service what the manager remembers of a process
---@field process userdata
---@field target titan.Target
---@field named boolean whether somebody gave it a name
---@field name string
---@field options titan.SpawnOptions
---@field started titan.Future settled when it is ready or has failed to become so
---@field finish_start fun(ok: boolean, ...)
---@field ended titan.Future settled when it has ended
---@field finish fun(ok: boolean, ...)
---@field proxy? table
---@field version? string
---@field start_error? table what the worker said of why it could not start
---@field dependencies titan.Dependency[] of the spawn and of the class
---@field awaits? titan.Service whose start its own start waits for

-- Creation -------------------------------------------------------------------------------

-- Preloads are resolved here, so that a missing one is an error of the manager's config.
---@param names string[]
---@return string[]
local function preloads(names)
  local resolved = {}
  for i, name in ipairs(names) do
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

--- Makes a manager. Its helper process starts at once; workers start with `spawn`.
--- Raises `invalid_config`.
---@param options? table see titan.config
---@return titan.Manager
function manager.new(options)
  if core.is_worker() then
    errors.raise("invalid_config", "titan.manager: a worker cannot have a manager of its own; "
      .. "call other services with titan.service(name)")
  end
  local checked = config.check(options)
  local self = setmetatable({
    config = checked, services = {}, class_names = {}, stopping = 0, events = events.new(),
  }, Manager)
  local boot = { path = package.path, cpath = package.cpath, preload = preloads(checked.preload) }
  self.handle = core.manager_open(boot, checked.limits, checked.logs.format, function(...)
    return self:_heard(...)
  end)
  run.adopt(self)
  return self
end

-- What the core tells ----------------------------------------------------------------------

---@param process userdata
---@return titan.Error what went wrong with a process that has not become ready
local function start_error(service, info)
  if info.status == "stopped" then
    return errors.new("shutting_down", string.format("worker %q was stopped before it was ready",
      info.name), { process = info.name })
  end
  local said = service.start_error or {}
  local last = info.last_error or { code = "spawn_failed", message = info.exit }
  local code = errors.codes[said.code] and said.code or "spawn_failed"
  if last.code == "startup_timeout" or last.code == "limit_exceeded" then
    code = last.code
  elseif code == "remote_error" then
    code = "spawn_failed"
  end
  local message = string.format("worker %q did not start: %s", info.name,
    type(said.message) == "string" and said.message or last.message)
  for line in info.stderr_tail:gmatch("[^\n]+") do
    message = message .. "\nstderr: " .. line
  end
  return errors.new(code, message, {
    process = info.name,
    traceback = type(said.traceback) == "string" and said.traceback or nil,
    details = { exit = info.exit, exit_code = info.exit_code, exit_signal = info.exit_signal,
      stderr = info.stderr_tail },
  })
end

---@param info table
function Manager:_crashed(info)
  local last = info.last_error
  local err = errors.new(errors.codes[last.code] and last.code or "worker_lost", last.message,
    { process = info.name })
  self.events:emit("process:crash", crash.report(info, err))
end

local heard = {}

function heard.spawn(self, service)
  if self.events:heard "process:spawn" then
    self.events:emit("process:spawn", self:_info(service))
  end
end

-- The class wants something that is the manager's to give: time, a name, or other services.
function heard.declared(self, service, said)
  local declared, why = announced.check("declared", said)
  if not declared then
    return core.process_blame(service.process, why)
  end
  if declared.startup_timeout and not service.options.startup_given then
    core.process_set_startup_timeout(service.process, declared.startup_timeout)
  end
  if declared.name then
    self.class_names[service.target.file] = declared.name
    service.name = self:_free_name(declared.name, service.process)
    core.process_rename(service.process, service.name)
  end
  local dependencies = declared.dependencies
  table.move(dependencies, 1, #dependencies, #service.dependencies + 1, service.dependencies)
  tasks.go(function()
    local ok, err = pcall(self._await_dependencies, self, service.name, dependencies, service)
    if ok then
      core.process_proceed(service.process, { name = service.name })
    else
      core.process_refuse(service.process, err.message)
    end
  end)
end

function heard.ready(self, service, said)
  local info, why = announced.check("ready", said)
  if not info then
    return core.process_blame(service.process, why)
  end
  service.version = info.version
  service.proxy = self:_new_proxy(service, info.methods)
  service.finish_start(true)
  if self.events:heard "process:ready" then
    self.events:emit("process:ready", self:_info(service))
  end
end

function heard.start_failed(_, service, said)
  service.start_error = type(said) == "table" and said or {}
  return type(service.start_error.message) == "string" and service.start_error.message or nil
end

function heard.ended(self, service)
  local info = core.process_info(service.process)
  if info.status == "crashed" then
    self:_crashed(info)
  elseif info.status == "stopped" and self.events:heard "process:stop" then
    self.events:emit("process:stop", self:_info(service))
  end
  service.finish_start(false, start_error(service, info))
  service.started:ignore()
  service.finish(true, info)
  self.services[service.process] = nil
end

function heard.line(self, service, line, stream)
  if self.events:heard "log" then
    local info = core.process_info(service.process)
    self.events:emit("log", {
      id = info.id, name = info.name, pid = info.pid, stream = stream, line = line,
      time = core.now_ms(),
    })
  end
end

---@param kind string
---@param process userdata
function Manager:_heard(kind, process, ...)
  local service = self.services[process]
  if service then
    return heard[kind](self, service, ...)
  end
end

-- Names ------------------------------------------------------------------------------------

-- A name nobody chose gives way: the second image-worker is image-worker-2.
---@param name string
---@param except userdata?
---@return string
function Manager:_free_name(name, except)
  local candidate, number = name:sub(1, 64), 1
  while true do
    local taken = core.manager_find(self.handle, candidate)
    if not taken or taken == except or select(2, core.process_state(taken)) then
      return candidate
    end
    number = number + 1
    local suffix = "-" .. number
    candidate = name:sub(1, 64 - #suffix) .. suffix
  end
end

---@param name string
function Manager:_claim(name)
  local taken = core.manager_find(self.handle, name)
  if taken and not select(2, core.process_state(taken)) then
    local info = core.process_info(taken)
    local why = string.format("options.name: %q is the name of %s already (%s%s)", name, info.id,
      info.status, info.pid and ", pid " .. info.pid or "")
    errors.raise("invalid_config", why)
  end
end

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
  local names = {}
  for _, service in pairs(self.services) do
    names[#names + 1] = service.name
  end
  local nearest = core.suggest(key, names)
  return errors.new("destroyed", string.format("no process with the id or name %q is alive%s", key,
    nearest and string.format("; did you mean %q?", nearest) or ""))
end

-- Spawning ---------------------------------------------------------------------------------

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
    local service = self:_find(dependency.service)
    local ok, err = false, nil
    if service then
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

---@param service titan.Service
---@param methods table<string, integer|false>
---@return table
function Manager:_new_proxy(service, methods)
  local names = {}
  for name, id in pairs(methods) do
    if id then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  local id = core.process_info(service.process).id
  local timeout = service.options.timeout
  if timeout == nil then
    timeout = self.config.resources.timeout
  end
  return proxy.new(proxy.of_process(service.process,
    { name = service.name, methods = methods, names = names }, {
      __id = function()
        return id
      end,
      __destroy = function()
        return self:stop_process(id)
      end,
      __metrics = function()
        errors.raise("invalid_config", text.not_built "metrics")
      end,
      __health = function()
        errors.raise("invalid_config", text.not_built "health checks")
      end,
    }, timeout or 0))
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

---@param target titan.Target
---@param options titan.SpawnOptions
---@return titan.Service
function Manager:_launch(target, options)
  local class_name = target.class and target.class.name or self.class_names[target.file]
  local name = options.name or self:_free_name(class_name or target.name)
  local timeout = self.config.resources.timeout or 0
  local spec = {
    class_name = class_name,
    module = target.module, file = target.file, name = name, named = options.name ~= nil,
    options = options.options, env = options.env, cwd = options.cwd,
    dependencies = options.dependencies, limits = self.config.limits, timeout = timeout,
  }
  local service = { manager = self, target = target, options = options, name = name,
    named = options.name ~= nil, dependencies = { table.unpack(options.dependencies) } }
  service.started, service.finish_start = tasks.promise()
  service.ended, service.finish = tasks.promise()
  local ok, process = pcall(core.manager_spawn, self.handle, name, spec, options.startup_timeout,
    timeout)
  if not ok then
    error(untravelling(process), 0)
  end
  service.process = process
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
  if info and service then
    info.version = service.version
    info.file = service.target.file
  end
  return info
end

--- The proxy of the running process of that name, or nil.
---@param name string
---@return table?
function Manager:discover(name)
  local service = self:_find(name)
  return service and service.proxy
end

--- What is known of a process, also for a while after its end: id, name, pid, status
--- (pending, starting, running, stopping, stopped, failed, crashed), isolation, transport,
--- start_time and end_time (ms of the wall clock), uptime (ms), restart_count, exit,
--- exit_code, exit_signal, last_error, stdout_tail, stderr_tail, version, file, and activity
--- (calls, errors, in_flight, lua_heap, running, last_calls). Nil when there is none.
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

-- Stopping ---------------------------------------------------------------------------------

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
  local schema = require "titan.schema"
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

--- Stops every process, at the same time, but each only after those that depend on it.
--- Those that depend on each other are stopped together.
---@param timeout? number|string for each; as in stop_process
---@return true? stopped nil, with the first error, when one had to be killed
---@return titan.Error?
function Manager:stop_all(timeout)
  core.current()
  local ms = checked_timeout(timeout, "stop_all.timeout")
  local dependents = self:_dependents()
  local stops, failure = {}, nil
  self.stopping = self.stopping + 1
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
  self.stopping = self.stopping - 1
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
  local ok, why = core.process_kill(service.process, number)
  if not ok then
    return nil, errors.new("destroyed", string.format("cannot signal %q: %s", key, why))
  end
  return true
end

--- Kills what is left, frees everything. titan.run does this at its end.
function Manager:close()
  core.manager_close(self.handle)
  local services = self.services
  self.services = {}
  for _, service in pairs(services) do
    service.finish_start(false, errors.new("destroyed", "the manager was closed",
      { process = service.name }))
    service.started:ignore()
    service.finish(true, {})
  end
end

-- Events -----------------------------------------------------------------------------------

--- Calls `fn` at each event, in a task of its own. Events: process:spawn, process:ready and
--- process:stop (with what get_process_info gives), process:crash (with a crash report), log
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

for _, name in ipairs { "create_pool", "create_supervisor", "workflow", "get_metrics", "health" } do
  local features = { create_pool = "pools", create_supervisor = "supervisors",
    workflow = "workflows", get_metrics = "metrics", health = "health checks" }
  Manager[name] = function()
    errors.raise("invalid_config", text.not_built(features[name]))
  end
end

return manager
