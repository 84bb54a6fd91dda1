--- The start of a worker: loads its class, makes its `self`, publishes its methods. It
--- happens once, so nothing of it is kept.

local core = require "titan.core"
local errors = require "titan.errors"
local loading = core.use "titan.class.loading"
local worker = require "titan.worker"

local starting = {}

---@param spec { module: string?, file: string }
---@param globals table? what it is to see instead of Lua's own
---@return titan.Class
local function load_class(spec, globals)
  local loaded = worker.preloaded and worker.preloaded[spec.file]
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

-- Mostly there is nothing but the limit of the heap, which the core sets.
---@param resources titan.LimitsSpec
local function bound(resources)
  if #resources.join > 0 or resources.addresses > 0 or next(resources.rlimits)
    or not core.limit_memory(resources.heap) then
    require("titan.worker.limits").apply(resources)
  end
end

---@param loaded titan.Class
---@param spec table
local function check_isolation(loaded, spec)
  if loaded.isolation and loaded.isolation ~= spec.isolation and not spec.isolation_given then
    require("titan.worker.surroundings").refuse_isolation(loaded)
  end
end

-- Whether the manager has to see what the class says before `init` runs, if it is not all known.
---@param loaded titan.Class
---@param spec table
---@return boolean
local function has_wishes(loaded, spec)
  return next(loaded.dependencies) ~= nil or next(spec.dependencies) ~= nil
    or loaded.startup_timeout ~= nil or not spec.named and loaded.name ~= spec.class_name
    or loaded.resources ~= nil and not spec.class_known
end

---@param loaded titan.Class
---@return boolean
local function has_annotations(loaded)
  for _, method in next, loaded.methods do
    if method.layers then
      return true
    end
  end
  return false
end

-- The functions of the class in this process: those that were declared, unless an annotation puts
-- another around one.
---@param loaded titan.Class
---@param spec table
---@param annotated boolean
---@return table<string, titan.MethodFn> inside as the class itself calls them
---@return table<string, titan.MethodFn> entries as others do
local function functions_of(loaded, spec, annotated)
  if annotated then
    return require("titan.class.composed").all(loaded, spec.name, spec.scope or spec.name)
  end
  local functions = {}
  for name, method in next, loaded.methods do
    functions[name] = method.fn
  end
  return functions, functions
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
---@param entries table<string, titan.MethodFn>
---@return table<string, integer|false> methods false for private ones
---@return table<string, integer> health_checks the methods that say how the worker is, for the
--- manager alone: no name leads to a private one, and others cannot send numbers
local function serve(loaded, self, spec, entries)
  local functions, names, by_name, methods, keyed = {}, {}, {}, {}, {}
  local function number(name)
    functions[#functions + 1], names[#names + 1] = entries[name], name
    return #functions - 1
  end
  for _, name in ipairs(loaded.method_names) do
    local method = loaded.methods[name]
    methods[name] = method.public and number(name)
    by_name[name] = methods[name] or nil
    if method.public and type(method.idempotent) == "table" then
      keyed[methods[name]] = true
    end
  end
  local health_checks = {}
  for _, name in ipairs(loaded.method_names) do
    if loaded.methods[name].health_check then
      health_checks[name] = methods[name] or number(name)
    end
  end
  core.worker_serve {
    methods = functions, names = names, by_name = by_name, keyed = keyed, self = self,
    limits = spec.limits, latencies = spec.latencies, handler = worker.packed,
    refuse = worker.refuse,
    cancelled = setmetatable({
      code = "cancelled", message = "the caller no longer waits", retryable = false,
    }, errors.metatable),
  }
  return methods, health_checks
end

-- The environment and directory that spawn asked for are set before the class is loaded, and win
-- over those of the class.
---@param spec table as titan.manager writes it
local function run_start(spec)
  if spec.resources then
    bound(spec.resources)
  end
  if spec.cwd or next(spec.env) then
    require("titan.worker.surroundings").set(spec.env, spec.cwd)
  end
  local globals = spec.security and require("titan.worker.sandbox").apply(spec)
  local loaded = load_class(spec, globals)
  check_isolation(loaded, spec)
  if loaded.security then
    require("titan.worker.sandbox").tighten(spec, loaded)
  end
  worker.current.class = loaded
  if has_wishes(loaded, spec) then
    require("titan.worker.wishes").declare(loaded, spec)
  end
  if loaded.cwd or next(loaded.env) then
    require("titan.worker.surroundings").set_for_class(loaded, spec)
  end
  if spec.tracing then
    require("titan.worker.tracing").start(spec.tracing) -- before the methods are put together
  end
  local annotated = has_annotations(loaded)
  local functions, entries = functions_of(loaded, spec, annotated)
  local self = new_self(loaded, spec, functions)
  worker.current.self, worker.current.functions = self, functions
  if loaded.init then
    loaded.init(self, spec.options)
  end
  local methods, health_checks = serve(loaded, self, spec, entries)
  core.started()
  local repeatable, keyed
  if annotated then
    repeatable, keyed = require("titan.idempotency").announced(loaded)
  end
  core.briefly(true)
  core.worker_ready {
    version = loaded.version, description = loaded.description,
    methods = methods, restart_policy = loaded.restart_policy, idempotent = repeatable,
    keyed = keyed, health = loaded.health, health_checks = health_checks,
    sandbox = (spec.security or loaded.security) and require("titan.worker.sandbox").report(),
  }
  core.briefly(false)
end

---@param ok boolean
---@param err any
local function start_ended(ok, err)
  if not ok then
    core.worker_failed(type(err) == "table" and err or { message = tostring(err) })
  end
end

--- On a thread, in place of `warm_up`: nothing is loaded that may not be needed.
---@param boot { path: string, cpath: string, preload: string[] }
function starting.prepare(boot)
  package.path, package.cpath = boot.path, boot.cpath
  if #boot.preload > 0 then
    core.use("titan.worker.preloads").load(boot.preload)
  end
end

--- Begins it.
---@param spec table
function starting.start(spec)
  worker.current = { timeout = spec.timeout }
  core.go(worker.packed, start_ended, run_start, spec)
end

return starting
