--- A mock process: a class that lives in this process and is called as if it were a worker.
--
--     starting --init returns--> running --crash--> crashed --the policy's delay--> starting
--        |                          |                  `-- no restart is left: its end
--        `-- failed, stopped        `--stop--> stopping --> stopped
--
-- Its methods run in tasks of its own. Whatever goes in or out is copied as the wire would.

local composed = require "titan.class.composed"
local core = require "titan.core"
local crash = require "titan.crash"
local errors = require "titan.errors"
local health = require "titan.testing.health"
local loading = require "titan.class.loading"
local numbers = require "titan.testing.numbers"
local owners = require "titan.testing.owner"
local proxy = require "titan.proxy"
local remote_error = require "titan.remote_error"
local restarts = require "titan.config.restarts"
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
---@field packed_options string what init gets, as bytes: each life has a copy of its own
---@field dependencies titan.Dependency[]
---@field status string
---@field life integer
---@field class? titan.Class
---@field self? table what the methods get
---@field functions? table<string, titan.MethodFn>
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

local KILLED <const> = "was killed by SIGKILL"
local NOT_IN_TIME <const> =
  "did not end in time and was killed: a call or a shutdown hook went on"

---@param self titan.MockProcess
---@param code string
---@param message string
---@param method? string
---@return titan.Error
local function failure(self, code, message, method)
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
  local methods, number = {}, 0
  for _, name in ipairs(self.class.method_names) do
    methods[name] = self.class.methods[name].public and number
    number = number + (methods[name] and 1 or 0)
  end
  self.info.name, self.info.methods = self.name, methods
  self.info.names = proxy.public_names(methods)
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
  self.functions = composed.all(self.class, self.name, self.scope)
  self.self = setmetatable({ name = self.name, dependencies = {} }, { __index = self.functions })
  for _, dependency in ipairs(self.dependencies) do
    self.self.dependencies[dependency.alias] = self.spawner:_service(dependency.service)
  end
  if self.class.init then
    self.class.init(self.self, core.decode(self.packed_options))
  end
  serve(self)
  self.spawner:_check_script(self)
end

---@param self titan.MockProcess
---@param life integer
local function watch_start(self, life)
  core.sleep(self.startup_timeout or self.options.startup_timeout)
  if self.life == life and self.status == "starting" then
    self:_start_failed(failure(self, "startup_timeout", string.format("not ready within %d ms: "
      .. "raise startup_timeout, or look at what init does", self.startup_timeout)))
  end
end

local function ignore() end

--- Begins a life. `started` says how the first one went.
function Process:_begin()
  self.status, self.life = "starting", self.life + 1
  self.owner = owners.new(function(name)
    return self.spawner:_service(name)
  end)
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
    core.interrupt(self.watch, failure(self, "cancelled", "it is ready"))
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

-- Calls ------------------------------------------------------------------------------------

---@class titan.MockCall
---@field method string
---@field record titan.RecordedCall
---@field number table of the numbers
---@field future titan.Future
---@field settle fun(ok: boolean, ...)
---@field co? thread

--- The values as they would arrive on the other side, packed.
---@param what string
---@param ... any
---@return table
function Process:_passed(what, ...)
  local limits = self.spawner.config.limits
  return table.pack(core.passed(what, limits.frame, limits.nesting, ...))
end

---@param method string
function Process:_check_callable(method)
  local status, ended = self.status, self.ended:done()
  if status == "running" then
    return
  end
  local code, why = "worker_lost", self.last_error and self.last_error.message or KILLED
  if status == "stopped" then
    code, why = "destroyed", "the worker has been stopped"
  elseif status == "stopping" then
    code, why = "shutting_down", "the worker is stopping"
  elseif status == "starting" then
    why = "the worker is not ready yet"
  else
    why = (ended and "the worker is gone: " or "the worker is down and to be started again: ")
      .. why
  end
  error(failure(self, code, why, method), 0)
end

-- What the caller gets of what the method raised: the first form of it that can travel.
---@param self titan.MockProcess
---@param err table as remote_error.pack makes it
---@param method string
---@return titan.Error
local function travelled(self, err, method)
  local sent = {}
  for key, value in next, err do
    sent[key] = value
  end
  local ok, passed = pcall(self._passed, self, "error", sent)
  if not ok then
    sent.details, sent.traceback = nil, nil
    sent.message = type(sent.message) == "string" and sent.message:sub(1, 1024) or nil
    ok, passed = pcall(self._passed, self, "error", sent)
  end
  if not ok then
    return failure(self, "remote_error", "the method raised an error that cannot travel", method)
  end
  return remote_error.receive(passed[1], self.name, method)
end

---@param call titan.MockCall
---@param ok boolean
---@param ... any the results, or the error
local function settle(call, ok, ...)
  if call.future:done() then
    return
  elseif ok then
    call.record.results = table.pack(...)
  else
    call.record.error = (...)
  end
  call.settle(ok, ...)
end

---@param call titan.MockCall
---@param ok boolean
---@param ... any
function Process:_call_ended(call, ok, ...)
  local results, err
  if ok then
    ok, results = pcall(self._passed, self, "result", ...)
    err = not ok and failure(self, results.code, results.message, call.method)
  else
    err = travelled(self, (...), call.method)
  end
  if self.in_flight[call] then
    self.in_flight[call] = nil
    self.numbers:ended(call.number, not ok)
  end
  if ok then
    settle(call, true, table.unpack(results, 1, results.n))
  else
    settle(call, false, err)
  end
  self:_look_whether_drained()
end

-- Waits for the answer, for so long; then nobody waits for the method any more.
---@param self titan.MockProcess
---@param call titan.MockCall
---@param timeout integer
local function await(self, call, timeout)
  local waited, why = pcall(tasks.wait, call.future, timeout > 0 and timeout or nil)
  if not call.future:done() then
    if waited then
      why = failure(self, "timeout", string.format("no answer within %d ms", timeout),
        call.method)
    end
    settle(call, false, why)
    core.interrupt(call.co, errors.new("cancelled", "the caller no longer waits"))
  end
  return call.future:await()
end

--- Runs a method, a private one too, without what stands before it in a call.
---@param method string
---@param timeout integer ms; 0 for none
---@param ... any
---@return any ...
function Process:run(method, timeout, ...)
  local passed, args = pcall(self._passed, self, "argument", ...)
  if not passed then
    error(failure(self, args.code, args.message, method), 0)
  end
  local fn = self.spawner:_scripted(self, method) or self.functions[method]
  local call = { method = method, number = self.numbers:begun(method) }
  call.record = self.spawner:_record(self, method, args)
  call.future, call.settle = tasks.promise()
  call.future:ignore()
  self.in_flight[call] = true
  call.co = self.owner:begin(function(...)
    self:_call_ended(call, ...)
  end, fn, self.self, table.unpack(args, 1, args.n))
  return await(self, call, timeout)
end

--- A call, as a proxy makes it.
---@param method string
---@param timeout integer
---@param ... any
---@return any ...
function Process:call(method, timeout, ...)
  core.current()
  self:_check_callable(method)
  return self:run(method, timeout, ...)
end

--- The call of one who knows only the service's name.
---@param method string
---@param timeout integer
---@param ... any
---@return any ...
function Process:call_by_name(method, timeout, ...)
  core.current()
  self:_check_callable(method)
  if not self.info.methods[method] then
    error(proxy.no_such_method(self.info, method), 0)
  end
  return self:run(method, timeout, ...)
end

---@return titan.Backend
function Process:_backend()
  local timeout = self.options.timeout
  if timeout == nil then
    timeout = self.spawner.config.resources.timeout
  end
  return {
    name = self.name, timeout = timeout or 0,
    own = {
      __id = function()
        return self.id
      end,
      __destroy = function()
        return self.spawner:stop_process(self.id)
      end,
      __metrics = function()
        return self:get_metrics()
      end,
      __health = function()
        return self:check_health()
      end,
    },
    text = function()
      return string.format("titan service %s (%s)", self.name, self.status)
    end,
    method = function(of, name, deadline)
      if not self.info.methods[name] then
        return proxy.refusal(proxy.no_such_method(self.info, name)), false
      end
      return function(given, ...)
        proxy.check_self(given, of, name)
        return self:call(name, deadline, ...)
      end
    end,
  }
end

-- Being lost -------------------------------------------------------------------------------

---@param self titan.MockProcess
---@param how string
local function lose_calls(self, how)
  local lost = self.in_flight
  self.in_flight = {}
  for call in pairs(lost) do
    self.numbers:ended(call.number, true)
    settle(call, false, failure(self, "worker_lost", string.format("the worker %s in the middle "
      .. "of this call", how), call.method))
  end
  self.owner:close()
end

-- As core/manager/restart.c decides, but for the jitter: a test is to know when.
---@param self titan.MockProcess
---@return number? ms
local function decide_restart(self)
  local policy = restarts.merged(self.spawner.config.restart_policy,
    self.class and self.class.restart_policy, self.options.restart_policy)
  local now, kept = core.monotonic_ms(), {}
  for _, at in ipairs(self.restarted_at) do
    kept[#kept + 1] = now - at < policy.window and at or nil
  end
  self.restarted_at = kept
  if not policy.enabled or #kept >= policy.max_restarts then
    return nil, policy.enabled and string.format("; given up after %d restarts within %d ms "
      .. "(restart_policy)", policy.max_restarts, policy.window) or ""
  end
  local nth, backoff = #kept, policy.backoff
  kept[nth + 1] = now
  if nth == 0 then
    return policy.delay
  end
  local ms = backoff.initial
  if backoff.type == "exponential" then
    ms = ms * backoff.factor ^ (nth - 1)
  elseif backoff.type == "linear" then
    ms = ms * nth
  end
  return math.floor(math.min(ms, backoff.max))
end

---@param status "crashed"|"failed"
function Process:_crashed(status)
  local how = self.last_error.message
  local info = self:get_info()
  info.exit = how
  self.status, self.health = status, nil
  lose_calls(self, how)
  local wait, given_up = decide_restart(self)
  if not wait then
    self.last_error.message = how .. given_up
  end
  self.spawner.events:emit("process:crash", crash.report(info,
    errors.new(self.last_error.code, self.last_error.message, { process = self.name })))
  if not wait then
    return self:_end(status)
  end
  self.restarting = core.go(ignore, ignore, function()
    core.sleep(wait)
    self.restarting = nil
    self.restart_count = self.restart_count + 1
    self:_begin()
  end)
end

--- Lets it be lost, as by `how` ("was killed by SIGKILL").
---@param how? string
function Process:crash(how)
  self.last_error = { code = "worker_lost", message = how or KILLED }
  if self.status == "starting" and self.restart_count == 0 then
    return self:_start_failed(failure(self, "spawn_failed", self.last_error.message
      .. " before it was ready"))
  end
  self:_crashed "crashed"
end

-- Its end ----------------------------------------------------------------------------------

-- One hook that fails must not keep the others from running.
---@param self titan.MockProcess
local function run_hooks(self)
  for _, name in ipairs(self.class.method_names) do
    if self.class.methods[name].on_shutdown then
      local ok, err = xpcall(self.functions[name], debug.traceback, self.self)
      if not ok then
        io.stderr:write("titan: on_shutdown method ", name, " failed: ", tasks.text_of(err), "\n")
      end
    end
  end
end

function Process:_look_whether_drained()
  if self.status == "stopping" and self.hooks_done and not next(self.in_flight) then
    self:_end "stopped"
  end
end

---@param status string
---@param err? titan.Error why it has not become ready
function Process:_end(status, err)
  if self.ended:done() then
    return
  end
  self.status, self.end_time, self.end_ms = status, core.now_ms(), core.monotonic_ms()
  lose_calls(self, KILLED)
  self.spawner:_forget(self)
  if status == "stopped" then
    self.spawner.events:emit("process:stop", self:get_info())
  end
  self.finish_start(false, err or failure(self, "shutting_down",
    string.format("worker %q was stopped before it was ready", self.name)))
  self.finish(true)
end

--- The manager is closed: nothing of it goes on.
function Process:_abandon()
  if self.restarting then
    core.interrupt(self.restarting, failure(self, "cancelled", "the manager was closed"))
    self.restarting = nil
  end
  local lost = self.in_flight
  self.in_flight = {}
  for call in pairs(lost) do
    settle(call, false, failure(self, "destroyed", "the manager was closed", call.method))
  end
  self:_end "stopped"
end

--- Stops it as a real one is stopped: its hooks run, calls under way finish, for so long.
---@param ms integer 0: at once
---@return true? nil, with an error, when it had to be killed
---@return titan.Error?
function Process:stop(ms)
  if self.restarting then
    core.interrupt(self.restarting, failure(self, "cancelled", "it is stopped"))
    self.restarting = nil
  end
  if self.status ~= "running" and self.status ~= "stopping" or ms == 0 then
    self:_end "stopped"
    return true
  elseif self.status == "running" then
    self.status = "stopping"
    self.owner:begin(function()
      self.hooks_done = true
      self:_look_whether_drained()
    end, run_hooks, self)
  end
  if tasks.wait(self.ended, ms) then
    return true
  end
  self.last_error = { code = "timeout", message = NOT_IN_TIME }
  self:_end "stopped"
  return nil, failure(self, "timeout", NOT_IN_TIME)
end

-- Asking -----------------------------------------------------------------------------------

---@return titan.Metrics
function Process:get_metrics()
  local metrics = self.numbers:metrics(self.restart_count,
    (self.end_ms or core.monotonic_ms()) - self.began_ms, self.spawner.config.monitoring.metrics)
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
---@param fields { id: string, name: string, pool: titan.MockPool?, packed_options: string }
---@return titan.MockProcess
function process.new(spawner, target, options, fields)
  local self = setmetatable({
    spawner = spawner, target = target, options = options, id = fields.id, name = fields.name,
    pool = fields.pool, packed_options = fields.packed_options, status = "pending", life = 0,
    restart_count = 0, restarted_at = {},
    in_flight = {}, numbers = numbers.new(), dependencies = options.dependencies,
    info = { name = fields.name, methods = {}, names = {} },
  }, Process)
  self.started, self.finish_start = tasks.promise()
  self.ended, self.finish = tasks.promise()
  self.started:ignore()
  return self
end

return process
