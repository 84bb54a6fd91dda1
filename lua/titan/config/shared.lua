--- The keys that mean the same in the manager's config, in the options of `pm:spawn`
--- and in class declarations.

local health = require "titan.config.health"
local resources = require "titan.config.resources"
local restarts = require "titan.config.restarts"
local security = require "titan.config.security"

local shared = {}

---@class titan.Dependency
---@field alias string the name by which the process asks for it
---@field service string the name under which it runs

--- A name of a process, a class or a service.
---@param doc string
---@return titan.Schema
function shared.name_schema(doc)
  return {
    kind = "string", min = 1, max = 64, pattern = "^[A-Za-z0-9_.-]+$", doc = doc,
    allowed = 'a name of 1 to 64 letters, digits, "_", "." or "-"',
  }
end

--- A path, a module name, or whatever else reaches the kernel as a C string.
---@param doc string
---@return titan.Schema
function shared.path_schema(doc)
  return {
    kind = "string", pattern = "^[^\0]+$", doc = doc,
    allowed = "a non-empty string without NUL",
  }
end

--- The time a call may take. False is for no deadline; zero would fail every call.
---@param doc string
---@param default? titan.Duration
---@return titan.Schema
function shared.deadline_schema(doc, default)
  local positive, none = { kind = "duration", min = 1 }, { kind = "enum", values = { false } }
  return { kind = "one_of", of = { positive, none }, default = default, doc = doc }
end

--- The same schema, for a place where there is a default.
---@param field titan.Schema
---@param default any
---@return titan.Schema
function shared.with_default(field, default)
  local copy = { default = default }
  for key, value in pairs(field) do
    copy[key] = value
  end
  return copy
end

--- Dependencies in the form that everything after the check uses.
---@param services table<string, string> alias -> service
---@return titan.Dependency[] sorted by alias
function shared.dependencies(services)
  local dependencies = {}
  for alias, service in pairs(services) do
    dependencies[#dependencies + 1] = { alias = alias, service = service }
  end
  table.sort(dependencies, function(a, b)
    return a.alias < b.alias
  end)
  return dependencies
end

-- A service that is not renamed is known by its own name.
---@param names string[]
---@return titan.Dependency[]?
---@return string? why
local function dependencies_of_list(names)
  local services = {}
  for _, name in ipairs(names) do
    if services[name] then
      return nil, string.format("%q is listed twice", name)
    end
    services[name] = name
  end
  return shared.dependencies(services)
end

---@type table<string, titan.Schema>
shared.fields = {
  name = shared.name_schema "what the process is called",
  cwd = shared.path_schema "working directory of the process; the manager's own if left out",
  startup_timeout = {
    kind = "duration", min = 1,
    doc = "how long loading the class and `init` may take",
  },
  isolation = {
    kind = "enum", values = { "process", "worker", "thread" },
    doc = "what a worker runs in: a process of its own, a thread of its own in the manager's "
      .. "process, or, with many others, a few threads there",
  },
  transport = {
    kind = "enum", values = { "unix" }, default = "unix",
    pending_values = { tcp = "the tcp transport", websocket = "the websocket transport" },
    doc = "how the manager and a worker talk",
  },
  env = {
    kind = "map", default = {},
    key = {
      kind = "string", pattern = "^[^=\0]+$",
      allowed = 'the name of an environment variable, without "=" and NUL',
    },
    value = {
      kind = "one_of",
      of = {
        { kind = "string", pattern = "^[^\0]*$", allowed = "a string without NUL" },
        { kind = "number", convert = tostring },
        { kind = "enum", values = { false } },
      },
      allowed = "a string without NUL, a number, or false to unset the variable",
    },
    doc = "environment variables, over those of the manager",
  },
  dependencies = {
    kind = "one_of", default = {},
    of = {
      {
        kind = "list", of = shared.name_schema "a service",
        convert = dependencies_of_list,
      },
      {
        kind = "map", key = shared.name_schema "an alias", value = shared.name_schema "a service",
        convert = shared.dependencies,
      },
    },
    allowed = "a list of service names or a table of alias = service name",
    doc = "services that must be running before this process starts",
  },
  restart_policy = restarts.partial,
  resources = resources.partial(shared.deadline_schema "of every call that says no other"),
  memory = resources.memory,
  health = health.partial,
  security = security.partial,
  observability = { kind = "any", pending = "tracing and custom metrics" },
}

return shared
