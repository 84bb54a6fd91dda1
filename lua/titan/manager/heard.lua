--- What the core tells the manager of its processes, one function an event. Each gets the
--- manager, the service, and what the event carries.

local announced = require "titan.announced"
local core = require "titan.core"
local crash = require "titan.crash"
local errors = require "titan.errors"
local names = require "titan.names"
local security = require "titan.config.security"
local tasks = require "titan.tasks"

local heard = {}

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

---@param self titan.Manager
---@param info table
local function tell_crash(self, info)
  local last = info.last_error
  local err = errors.new(errors.codes[last.code] and last.code or "worker_lost", last.message,
    { process = info.name })
  self.events:emit("process:crash", crash.report(info, err))
end

-- It lives no more, for now or for good.
---@param self titan.Manager
---@param service titan.Service
---@param info table
local function tell_end(self, service, info)
  if info.status == "crashed" or info.status == "failed" and info.restart_count > 0 then
    tell_crash(self, info)
  elseif info.status == "stopped" and self.events:heard "process:stop" then
    self.events:emit("process:stop", self:_info(service))
  end
end

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
  if declared.name and not service.renamed then
    service.renamed = true
    names.released(self.name_hints, service.name)
    self.class_names[service.target.file] = declared.name
    service.name = self:_free_name(declared.name, service.process)
    core.process_rename(service.process, service.name)
  end
  local bounds
  if declared.resources then
    service.class_timeout = declared.resources.timeout
    service.limits = self:_limits(service.options, declared.resources)
    self:_limit(service.process, service.limits)
    bounds = self:_limits_spec(service.limits, service.process)
  end
  local dependencies = declared.dependencies
  service.dependencies = table.move(dependencies, 1, #dependencies,
    #service.options.dependencies + 1, { table.unpack(service.options.dependencies) })
  tasks.go(function()
    local ok, err = pcall(self._await_dependencies, self, service.name, service.dependencies,
      service)
    if ok then
      core.process_proceed(service.process, { name = service.name, resources = bounds })
    else
      core.process_refuse(service.process, err.message)
    end
  end)
end

-- After a restart the class may be another: its file may have changed.
---@param service titan.Service
---@param methods table<string, integer|false>
local function renumber(service, methods)
  local known, changed = service.info.methods, false
  for _, either in ipairs { known, methods } do
    for name in pairs(either) do
      changed = changed or known[name] ~= methods[name]
    end
  end
  if changed then
    core.process_renumbered(service.process)
    service.info.methods = methods
  end
end

function heard.ready(self, service, said)
  local info, why = announced.check("ready", said)
  if not info then
    return core.process_blame(service.process, why)
  end
  service.version = info.version
  service.sandbox = security.report(service.security, info.sandbox)
  if service.pool then
    service.pool:_learn(info)
  end
  if service.policy_of_class then
    core.process_set_restart_policy(service.process, service.policy_of_class(info.restart_policy))
  end
  if service.proxy then
    service.info.keyed = info.keyed
    renumber(service, info.methods)
  else
    self:_new_proxy(service, info)
  end
  self:_watch_health(service, info)
  service.finish_start(true)
  local emits = self.events
  if emits:heard "process:ready" or emits:heard "process:restart" then
    local known = self:_info(service)
    emits:emit("process:ready", known)
    if known.restart_count > 0 then
      emits:emit("process:restart", known)
    end
  end
end

function heard.start_failed(_, service, said)
  service.start_error = type(said) == "table" and said or {}
  return type(service.start_error.message) == "string" and service.start_error.message or nil
end

-- It comes again: whoever has its proxy keeps it.
function heard.down(self, service)
  local info = core.process_info(service.process)
  self.stores:abandon_all(service)
  service.told_life = info.restart_count
  tell_end(self, service, info)
end

function heard.ended(self, service)
  local info = core.process_info(service.process)
  self.stores:abandon_all(service)
  if service.told_life ~= info.restart_count then
    tell_end(self, service, info)
  end
  local why = not service.started:done() and start_error(service, info)
  service.finish_start(false, why)
  if why and service.pool then
    service.pool:_start_failed(why)
  end
  service.started:ignore()
  service.finish(true, info)
  self.services[service.process] = nil
  names.released(self.name_hints, service.name)
end

function heard.health(self, service, what)
  self:_heard_health(service, what)
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

return heard
