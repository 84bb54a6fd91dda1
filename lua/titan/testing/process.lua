--- A mock process: a class that lives in this process and is called as if it were a worker.
--
--     starting --init returns--> running --crash--> crashed --the policy's delay--> starting
--        |                          |                  `-- no restart is left: its end
--        `-- failed, stopped        `--stop--> stopping --> stopped
--
-- Its methods run in tasks of its own. Whatever goes in or out is copied as the wire would.

local calls = require "titan.testing.process_calls"
local composed = require "titan.class.composed"
local core = require "titan.core"
local ends = require "titan.testing.process_end"
local errors = require "titan.errors"
local health = require "titan.testing.health"
local idempotency = require "titan.idempotency"
local loading = require "titan.class.loading"
local numbers = require "titan.testing.numbers"
local owners = require "titan.testing.owner"
local proxy = require "titan.proxy"
local remote_error = require "titan.remote_error"
local tasks = require "titan.tasks"
local shared = require "titan.config.shared"

local process = {}

---@class titan.MockProcess
---@field spawner titan.MockSpawner
---@field id string
---@field name string
---@field scope string of the stores: the pool's name, or its own
---@field pool? titan.MockPool
---@field target titan.Target
---@field options titan.SpawnOptions
---@field copy_options fun(): table what init gets: each life has a copy of its own
---@field dependencies titan.Dependency[]
---@field status string
---@field life integer
---@field class? titan.Class
---@field self? table what the methods get
---@field functions? table<string, titan.MethodFn> the methods as its own class calls them
---@field entries? table<string, titan.MethodFn> the same, as others do
---@field keyed table<string, titan.Keyed>
---@field info titan.ProxyInfo
---@field proxy? table
---@field numbers titan.MockNumbers
---@field health? titan.Health
---@field owner titan.TaskOwner of this life's tasks
---@field in_flight table<titan.MockCall, true>
---@field started titan.Future
---@field ended titan.Future
---@field restart_count integer
---@field restarted_at number[] those of the window
---@field last_error? { code: string, message: string }
local Process = {}
Process.__index = Process

for _, methods in ipairs { calls, ends } do
  for name, fn in pairs(methods) do
    Process[name] = fn
  end
end

---@param code titan.ErrorCode
---@param message string
---@param method? string
---@return titan.Error
function Process:_failure(code, message, method)
  return errors.new(code, message, { process = self.name, method = method })
end

-- Starting ---------------------------------------------------------------------------------

---@param self titan.MockProcess
---@return titan.Dependency[]
local function all_dependencies(self)
  local services = {}
  for _, list in ipairs { self.class.dependencies, self.options.dependencies } do
    for _, dependency in ipairs(list) do
      services[dependency.alias] = dependency.service
    end
  end
  return shared.dependencies(services)
end

---@param self titan.MockProcess
local function serve(self)
  local methods, number, _ = {}, 0, nil
  for _, name in ipairs(self.class.method_names) do
    methods[name] = self.class.methods[name].public and number
    number = number + (methods[name] and 1 or 0)
  end
  _, self.keyed = idempotency.announced(self.class)
  self.info.name, self.info.methods = self.name, methods
end

-- One life, up to where it is ready. Each loads the file anew, as a process of its own would.
---@param self titan.MockProcess
local function live(self)
  local target, options = self.target, self.options
  self.class = target.class
    or loading.check(loading.run(target.file, target.module or target.file), target.file)
  self.startup_timeout = options.startup_given and options.startup_timeout
    or self.class.startup_timeout or options.startup_timeout
  if not options.name and not self.pool and self.class.name and not self.renamed then
    self.renamed = true
    self.name = self.spawner:_free_name(self.class.name, self)
  end
  self.scope = self.pool and self.pool.name or self.name
  self.dependencies = all_dependencies(self)
  self.spawner:_await_dependencies(self.name, self.dependencies, self)
  self.functions, self.entries = composed.all(self.class, self.name, self.scope)
  self.self = setmetatable({ name = self.name, dependencies = {} }, { __index = self.functions })
  for _, dependency in ipairs(self.dependencies) do
    self.self.dependencies[dependency.alias] = self.spawner:_service(dependency.service)
  end
  if self.class.init then
    self.class.init(self.self, self.copy_options())
  end
  serve(self)
  self.spawner:_check_script(self)
end

---@param self titan.MockProcess
---@param life integer
local function watch_start(self, life)
  core.sleep(self.startup_timeout or self.options.startup_timeout)
  if self.life == life and self.status == "starting" then
    self:_start_failed(self:_failure("startup_timeout", string.format("not ready within %d ms: "
      .. "raise startup_timeout, or look at what init does", self.startup_timeout)))
  end
end

local function ignore() end

--- Begins a life. `started` says how the first one went.
function Process:_begin()
  self.status, self.life = "starting", self.life + 1
  self.owner = owners.new(self.spawner)
  self.began_ms, self.start_time = core.monotonic_ms(), core.now_ms()
  local life, emits = self.life, self.spawner.events
  emits:emit("process:spawn", self:get_info())
  self.owner:begin(function(ok, err)
    if self.life ~= life or self.status ~= "starting" then
      return
    elseif ok then
      self:_ready()
    else
      self:_start_failed(remote_error.receive(err, self.name))
    end
  end, live, self)
  if self.status == "starting" then
    self.watch = self.owner:begin(ignore, watch_start, self, life)
  end
end

function Process:_ready()
  local emits = self.spawner.events
  self.status = "running"
  if self.watch then
    core.interrupt(self.watch, self:_failure("cancelled", "it is ready"))
    self.watch = nil
  end
  self.proxy = self.proxy or proxy.new(self:_backend())
  self.finish_start(true)
  emits:emit("process:ready", self:get_info())
  if self.restart_count > 0 then
    emits:emit("process:restart", self:get_info())
  end
  if self.pool then
    self.pool:_grant()
  end
end

---@param err titan.Error
function Process:_start_failed(err)
  local code = err.code == "remote_error" and "spawn_failed" or err.code
  local message = string.format("worker %q did not start: %s", self.name, err.message)
  self.last_error = { code = code, message = err.message }
  if self.restart_count > 0 then
    return self:_crashed "failed"
  end
  self:_end("failed", errors.new(code, message, {
    process = self.name, traceback = err.traceback,
    details = { exit = "could not start", stderr = "" },
  }))
end

-- Asking -----------------------------------------------------------------------------------

---@return titan.Metrics
function Process:get_metrics()
  local metrics = self.numbers:metrics(self.restart_count,
    (self.end_ms or core.monotonic_ms()) - self.began_ms, self.spawner.config.monitoring.metrics)
  self.owner.series:add_to(metrics)
  return metrics
end

---@return titan.Health
function Process:check_health()
  if self.status ~= "running" then
    return health.known(self)
  end
  local found, previous = health.check(self)
  if previous ~= found.status then
    self.spawner.events:emit("health:change", {
      id = self.id, name = self.name, from = previous, to = found.status, reason = found.reason,
      details = found.details, failures = found.failures, process = self:get_info(),
    })
  end
  return found
end

--- As get_process_info; it has no pid.
---@return table
function Process:get_info()
  local last = self.last_error
  local metrics = self:get_metrics()
  return {
    id = self.id, name = self.name, status = self.status, isolation = "mock", transport = "mock",
    start_time = self.start_time, end_time = self.end_time, uptime = metrics.uptime,
    restart_count = self.restart_count, exit = last and last.message,
    last_error = last and errors.new(last.code, last.message, { process = self.name }),
    stdout_tail = "", stderr_tail = "", version = self.class and self.class.version,
    file = self.target.file, activity = self.numbers:activity(), health = health.known(self),
    metrics = { calls = metrics.calls, errors = metrics.errors, in_flight = metrics.in_flight,
      latency = metrics.latency },
  }
end

-- Birth ------------------------------------------------------------------------------------

--- One that has not begun to start.
---@param spawner titan.MockSpawner
---@param target titan.Target
---@param options titan.SpawnOptions
---@param fields { id: string, name: string, pool: titan.MockPool?, copy_options: fun(): table }
---@return titan.MockProcess
function process.new(spawner, target, options, fields)
  local self = setmetatable({
    spawner = spawner, target = target, options = options, id = fields.id, name = fields.name,
    pool = fields.pool, copy_options = fields.copy_options, status = "pending", life = 0,
    restart_count = 0, restarted_at = {}, keyed = {},
    in_flight = {}, numbers = numbers.new(), dependencies = options.dependencies,
    info = { name = fields.name, methods = {}, names = {} },
  }, Process)
  self.started, self.finish_start = tasks.promise()
  self.ended, self.finish = tasks.promise()
  self.started:ignore()
  return self
end

return process
