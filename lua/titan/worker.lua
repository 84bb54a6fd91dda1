--- What runs inside a worker: loads its class, serves its methods, ends in order.
--
-- The C core calls `warm_up` once in the zygote, then in each worker `start`, `proceed`
-- when the manager has seen the declaration, and `shutdown`.

local class = require "titan.class"
local composed = require "titan.class.composed"
local core = require "titan.core"
local errors = require "titan.errors"
local idempotency = require "titan.idempotency"
local limits = require "titan.worker.limits"
local loading = require "titan.class.loading"
local outbox = require "titan.tracing.outbox"
local proxy = require "titan.proxy"
local remote_error = require "titan.remote_error"
local sandbox = require "titan.worker.sandbox"
local span = require "titan.tracing.span"
local tasks = require "titan.tasks"
local text = require "titan.text"
local traceparent = require "titan.tracing.traceparent"

local worker = {}

local setenv = core.setenv -- what a sandbox puts in its place is for classes

-- Classes that were preloaded by file rather than by name.
local preloaded_files = {}

-- This worker, once it has begun to start.
---@type { spec: table, class: titan.Class?, self: table?,
--- functions: table<string, titan.MethodFn>?, proceed: fun(ok: boolean, answer: table)?,
--- timeout: integer, outbox: titan.Outbox? }?
local current

--- Loads what every worker will share. Raises what a module raises.
---@param boot { path: string, cpath: string, preload: string[] }
function worker.warm_up(boot)
  package.path, package.cpath = boot.path, boot.cpath
  for _, name in ipairs(boot.preload) do
    if name:find("/", 1, true) then
      preloaded_files[name] = loading.run(name, name)
    else
      require(name)
    end
  end
end

-- Of no use but to have run what a start and a call run.
local function exercise()
  local chunk = assert(load("local titan = require 'titan' return titan", "=limber"))
  chunk()
  assert(loadfile "/dev/null")()
  local sample = class.process {
    methods = { method = { public = true, function(_, value) return value end } },
  }
  local self = setmetatable({}, { __index = sample.methods })
  assert(self.method.public)
  pcall(error, errors.new("cancelled", "limber"))
  tasks.sleep(0)
end

--- Called in a spare worker, which waits for its start: what it touches now need not be made its
--- own when it is in a hurry.
function worker.limber()
  tasks.go(exercise):ignore()
end

-- Starting -----------------------------------------------------------------------------

---@param env table<string, string|false>
---@param cwd string?
local function set_surroundings(env, cwd)
  for name, value in pairs(env) do
    local ok, why = setenv(name, value or nil)
    if not ok then
      errors.raise("spawn_failed", string.format("cannot set %s: %s", name, why))
    end
  end
  if cwd then
    local ok, why = core.chdir(cwd)
    if not ok then
      errors.raise("spawn_failed", string.format("cannot change to the directory %q: %s", cwd, why))
    end
  end
end

---@param spec { module: string?, file: string }
---@param globals table? what it is to see instead of Lua's own
---@return titan.Class
local function load_class(spec, globals)
  local loaded = preloaded_files[spec.file]
  if loaded == nil and spec.module then
    loaded = package.loaded[spec.module]
  end
  if loaded == nil then
    loaded = loading.run(spec.file, spec.module or spec.file, globals)
  end
  loading.check(loaded, spec.file)
  if spec.module then
    package.loaded[spec.module] = loaded
    if globals then
      globals.package.loaded[spec.module] = loaded
    end
  end
  return loaded
end

-- What is to be waited for: what the class depends on, without what the spawn puts in its place.
-- For that a spawn has waited; a supervisor does not.
---@param loaded titan.Class
---@param spec table
---@return titan.Dependency[]
local function own_dependencies(loaded, spec)
  local replaced, own = {}, {}
  for _, dependency in ipairs(spec.dependencies) do
    replaced[dependency.alias] = true
    own[#own + 1] = spec.awaits_all and dependency or nil
  end
  for _, dependency in ipairs(loaded.dependencies) do
    own[#own + 1] = not replaced[dependency.alias] and dependency or nil
  end
  return own
end

-- Lets the manager see what the class wants before init runs, if it wants anything that is
-- the manager's to give: other services, time, or a name that nobody has.
---@param loaded titan.Class
---@param spec table
local function declare(loaded, spec)
  local dependencies = own_dependencies(loaded, spec)
  local name = not spec.named and loaded.name ~= spec.class_name and loaded.name or nil
  local resources = not spec.class_known and loaded.resources or nil
  if #dependencies == 0 and not loaded.startup_timeout and not name and not resources then
    return
  end
  local proceed
  proceed, current.proceed = tasks.promise()
  core.worker_declared {
    dependencies = dependencies, startup_timeout = loaded.startup_timeout, name = name,
    resources = resources,
  }
  local answer = proceed:await()
  spec.name = answer.name
  if answer.resources then
    limits.apply(answer.resources)
  end
end

-- The environment and directory that spawn asked for are set already, and win.
---@param loaded titan.Class
---@param spec table
local function apply_class(loaded, spec)
  local env = {}
  for name, value in pairs(loaded.env) do
    if spec.env[name] == nil then
      env[name] = value
    end
  end
  set_surroundings(env, not spec.cwd and loaded.cwd or nil)
end

-- What methods get as `self`: a table of the worker's own, on which its methods, the
-- private ones too, can be called directly.
---@param loaded titan.Class
---@param spec table
---@param functions table<string, titan.MethodFn>
---@return table
local function new_self(loaded, spec, functions)
  local self = setmetatable({ name = spec.name, dependencies = {} }, { __index = functions })
  for _, list in ipairs { loaded.dependencies, spec.dependencies } do
    for _, dependency in ipairs(list) do
      self.dependencies[dependency.alias] = worker.service(dependency.service)
    end
  end
  return self
end

-- Publishes the public methods: their numbers are those of the wire.
---@param loaded titan.Class
---@param self table
---@param spec table
---@param composites table<string, titan.MethodFn>
---@return table<string, integer|false> methods false for private ones
---@return table<string, integer> health_checks the methods that say how the worker is, for the
--- manager alone: no name leads to a private one, and others cannot send numbers
local function serve(loaded, self, spec, composites)
  local functions, names, by_name, methods, keyed = {}, {}, {}, {}, {}
  for _, name in ipairs(loaded.method_names) do
    local method = loaded.methods[name]
    methods[name] = method.public and #functions
    if method.public then
      by_name[name] = #functions
      keyed[#functions] = type(method.idempotent) == "table" or nil
      functions[#functions + 1] = composites[name]
      names[#names + 1] = name
    end
  end
  local health_checks, all_names = {}, { table.unpack(names) }
  for _, name in ipairs(loaded.method_names) do
    if loaded.methods[name].health_check then
      health_checks[name] = methods[name] or #functions
      if not methods[name] then
        functions[#functions + 1] = composites[name]
        all_names[#all_names + 1] = name
      end
    end
  end
  core.worker_serve {
    methods = functions, names = all_names, by_name = by_name, keyed = keyed, self = self,
    limits = spec.limits, latencies = spec.latencies,
    handler = remote_error.pack,
    refuse = function(name)
      return proxy.no_such_method({ methods = methods, names = names }, name)
    end,
    cancelled = errors.new("cancelled", "the caller no longer waits"),
  }
  return methods, health_checks
end

-- Before the methods are put together: those with trace are wrapped only when it is on.
---@param options { sample: number, queue: integer }?
local function start_tracing(options)
  if options then
    current.outbox = outbox.open(options.queue)
    span.record {
      bound = traceparent.bound(options.sample),
      add = function(record)
        current.outbox:add(record)
      end,
    }
  end
end

-- Too late to be another: this code runs in it.
---@param loaded titan.Class
---@param spec table
local function check_isolation(loaded, spec)
  if loaded.isolation and loaded.isolation ~= spec.isolation and not spec.isolation_given then
    errors.raise("invalid_config", string.format("the class says isolation = %q, which the manager "
      .. "cannot know of a class that it does not load: say it where it is spawned, or spawn what "
      .. "require returns", loaded.isolation))
  end
end

---@param spec table as titan.manager writes it
local function run_start(spec)
  limits.apply(spec.resources)
  set_surroundings(spec.env, spec.cwd)
  local globals = sandbox.apply(spec)
  local loaded = load_class(spec, globals)
  check_isolation(loaded, spec)
  sandbox.tighten(spec, loaded)
  current.class = loaded
  declare(loaded, spec)
  apply_class(loaded, spec)
  start_tracing(spec.tracing)
  local functions, entries = composed.all(loaded, spec.name, spec.scope or spec.name)
  local self = new_self(loaded, spec, functions)
  current.self, current.functions = self, functions
  if loaded.init then
    loaded.init(self, spec.options)
  end
  local methods, health_checks = serve(loaded, self, spec, entries)
  local repeatable, keyed = idempotency.announced(loaded)
  core.worker_ready {
    version = loaded.version, description = loaded.description,
    methods = methods, restart_policy = loaded.restart_policy, idempotent = repeatable,
    keyed = keyed, health = loaded.health, health_checks = health_checks,
    sandbox = sandbox.report(),
  }
end

--- Called with the spec: begins the start.
---@param spec table
function worker.start(spec)
  current = { spec = spec, timeout = spec.timeout }
  core.go(remote_error.pack, function(ok, err)
    if not ok then
      core.worker_failed(type(err) == "table" and err or { message = tostring(err) })
    end
  end, run_start, spec)
end

--- Called when the manager has agreed to what was declared.
---@param answer { name: string, resources: titan.LimitsSpec? } what the process is called, and what
--- bounds it now, when its class said so
function worker.proceed(answer)
  if current.proceed then
    current.proceed(true, answer)
  end
end

-- Ending -------------------------------------------------------------------------------

-- One hook that fails must not keep the others from running.
---@param loaded titan.Class
---@param functions table<string, titan.MethodFn>
---@param self table
local function run_hooks(loaded, functions, self)
  for _, name in ipairs(loaded.method_names) do
    if loaded.methods[name].on_shutdown then
      local ok, err = xpcall(functions[name], debug.traceback, self)
      if not ok then
        io.stderr:write("titan: on_shutdown method ", name, " failed: ", tasks.text_of(err), "\n")
      end
    end
  end
end

--- Called once: runs the on_shutdown methods, beside the calls that are still in flight.
function worker.shutdown()
  if not current or not current.self then
    return core.worker_hooks_done()
  end
  tasks.go(function()
    run_hooks(current.class, current.functions, current.self)
    if current.outbox then
      current.outbox:finish()
    end
    core.worker_hooks_done()
  end)
end

-- Calling others -------------------------------------------------------------------------

-- By name: a call of titan.service in a method costs nothing after the first.
local services = {}

--- A proxy for another service of the same manager, whatever its methods are.
---@param name string
---@return table
function worker.service(name)
  local owner = tasks.owner()
  if owner then
    return owner.service(name) -- a worker of titan.testing's, in the program's own process
  elseif not core.is_worker() then
    errors.raise("invalid_config", "titan.service is for the inside of a worker; in the manager "
      .. "use pm:discover(name)")
  elseif type(name) ~= "string" or name == "" then
    errors.raise("invalid_config", "titan.service: expected the name of a service, given "
      .. text.given(name))
  end
  services[name] = services[name] or proxy.new(proxy.of_service(name, current.timeout))
  return services[name]
end

return worker
