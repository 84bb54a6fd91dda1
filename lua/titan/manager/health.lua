--- How the processes of a manager are. These are methods of titan.Manager.

local core = require "titan.core"
local health_options = require "titan.config.health"
local tasks = require "titan.tasks"

---@class titan.Manager
local Manager = {}

---@class titan.Health of one process
---@field id string
---@field status "unknown"|"healthy"|"degraded"|"unhealthy"
---@field failures integer checks that failed, one after the other
---@field busy boolean the last check was not answered, since it was working
---@field last_check? integer when the last check ended, ms of the wall clock
---@field since? integer when it became what it is, ms of the wall clock
---@field latency? number ms, of the last check that was answered
---@field reason? string why it is not healthy
---@field details? table what a health_check method answered

-- What `what` of the event holds: HEALTH_CHANGED, HEALTH_CRITICAL and HEALTH_ASKED of the core.
local CHANGED <const>, CRITICAL <const>, ASKED <const> = 1, 2, 8

-- How bad it is for the whole. One that has just started is not to be complained of.
local BADNESS <const> = { unknown = 0, healthy = 0, degraded = 1, unhealthy = 2 }

-- One that has crashed and comes again has no say of its own.
local BAD_STATUS <const> = { crashed = true, failed = true }

---@param service titan.Service
---@param info table as core.process_info gives it
---@return titan.Health
---@return string? previous status
local function health_of(service, info)
  local health = core.health_get(service.process)
    or { status = "unknown", failures = 0, busy = false }
  local previous = health.previous
  health.previous = nil
  health.id = info.id
  if BAD_STATUS[info.status] then
    health.status = "unhealthy"
    health.reason = string.format("it has %s: %s", info.status,
      info.last_error and info.last_error.message or info.exit)
  end
  return health, previous
end

--- The entry of a process in what `health` returns.
---@param service titan.Service
---@param info table
---@return titan.Health
function Manager:_health_of(service, info)
  return (health_of(service, info))
end

--- Called when a process is ready.
---@param service titan.Service
---@param said table what it announced
function Manager:_watch_health(service, said)
  local timeout = self:_call_timeout(service)
  core.health_watch(service.process, health_options.merged(timeout or nil,
    self.config.monitoring.health_check, said.health, service.options.health), said.health_checks)
end

---@param service titan.Service
---@param event string
local function tell(self, service, event)
  if not self.events:heard(event) then
    return
  end
  local info = self:_info(service)
  local health, previous = health_of(service, info)
  self.events:emit(event, {
    id = info.id, name = info.name, pid = info.pid, from = previous, to = health.status,
    reason = health.reason, details = health.details, failures = health.failures, process = info,
  })
end

--- Called at the end of a check that changed something or that somebody waits for.
---@param service titan.Service
---@param what integer
function Manager:_heard_health(service, what)
  if what & CHANGED ~= 0 then
    tell(self, service, "health:change")
  end
  if what & CRITICAL ~= 0 then
    tell(self, service, "health:critical")
  end
  if what & ASKED ~= 0 then
    self:_health_waited(service)
  end
end

--- Resumes who waits for the end of a check.
---@param service titan.Service
function Manager:_health_waited(service)
  local finish = service.finish_health_check
  service.health_checked, service.finish_health_check = nil, nil
  if finish then
    finish(true)
  end
end

--- How one process is. When it has not been checked yet it is now; waits for that.
---@param service titan.Service
---@return titan.Health
function Manager:_health(service)
  local info = core.process_info(service.process) or { status = "stopped" }
  local health = health_of(service, info)
  if health.last_check then
    return health
  end
  if core.health_ask(service.process) then
    if not service.health_checked then
      service.health_checked, service.finish_health_check = tasks.promise()
    end
    service.health_checked:await()
  end
  info = core.process_info(service.process) or info
  return (health_of(service, info))
end

--- How all is: `status` is the worst of all processes that live or come again, a process that has
--- not been checked yet counting as healthy; `checks` has a titan.Health for each, by its name.
---@return { status: "healthy"|"degraded"|"unhealthy", checks: table<string, titan.Health>,
--- timestamp: integer }
function Manager:health()
  local status, checks = "healthy", {}
  for _, service in pairs(self.services) do
    local info = core.process_info(service.process)
    local health = health_of(service, info)
    checks[info.name] = health
    if BADNESS[health.status] > BADNESS[status] then
      status = health.status
    end
  end
  return { status = status, checks = checks, timestamp = core.now_ms() }
end

return Manager
