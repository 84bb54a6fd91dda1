--- What `titan.supervisor { ... }` accepts. Everything is checked, nested supervisors too, before
--- anything starts.

local child_annotation = require "titan.annotations.child"
local config = require "titan.config"
local declared_methods = require "titan.class.methods"
local locate = require "titan.locate"
local pool_config = require "titan.config.pool"
local restarts = require "titan.config.restarts"
local schema = require "titan.schema"
local shared = require "titan.config.shared"
local text = require "titan.text"

local supervisor = {}

---@class titan.SupervisorDeclaration
---@field name? string
---@field strategy "one_for_one"|"one_for_all"|"rest_for_one"|"simple_one_for_one"
---@field policy table max_restarts, window, delay and backoff, as far as they are said
---@field children titan.ChildDeclaration[] left to right; of simple_one_for_one the template
---@field on_child_crash? fun(report: table, child: table): string?

---@class titan.ChildDeclaration
---@field name string
---@field kind "process"|"pool"|"supervisor"
---@field target? titan.Target of a process or a pool
---@field declaration? titan.SupervisorDeclaration
---@field options? table
---@field restart "permanent"|"transient"|"temporary"
---@field critical boolean
---@field optional boolean
---@field shutdown_timeout? integer ms
---@field policy table
---@field path string where it is declared, for messages

---@type table<string, titan.Schema>
local child_fields = {
  name = shared.name_schema "what the child is called; its process, too",
  process = { kind = "any", doc = "a module name, a file path or a class" },
  pool = { kind = "any", doc = "the same, as a pool" },
  supervisor = {
    kind = "any", type = "table", allowed = "a table, or what titan.supervisor returns",
    doc = "another supervisor",
  },
}
for name, field in pairs(child_annotation.schema.fields) do
  child_fields[name] = name ~= "order" and field or nil
end

---@type titan.Schema
local child_schema = { kind = "table", fields = child_fields }

---@type titan.Schema
local supervisor_schema = {
  kind = "table",
  fields = {
    name = shared.name_schema "what the supervisor is called",
    strategy = {
      kind = "enum", default = "one_for_one",
      values = { "one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one" },
    },
    max_restarts = restarts.partial.fields.max_restarts,
    window = restarts.partial.fields.window,
    delay = restarts.partial.fields.delay,
    backoff = restarts.partial_backoff,
    children = { kind = "list", of = { kind = "any", type = "table", allowed = "a table" },
      default = {} },
    methods = { kind = "any", type = "table", allowed = "a table of methods by name" },
    on_child_crash = { kind = "function" },
  },
}

--- What may be written: of a supervisor, and of one of its children.
supervisor.schemas = { supervisor = supervisor_schema, child = child_schema }

local metatable = { __name = "titan.SupervisorDeclaration" }

---@param checked table
---@return table
local function policy_of(checked)
  return { max_restarts = checked.max_restarts, window = checked.window, delay = checked.delay,
    backoff = checked.backoff }
end

---@param path string
---@param checked table
---@return "process"|"pool"|"supervisor"
local function kind_of(path, checked)
  local kind
  for _, candidate in ipairs { "process", "pool", "supervisor" } do
    if checked[candidate] ~= nil then
      if kind then
        schema.refuse(path, string.format("is a %s and a %s; a child is one of them", kind,
          candidate), checked, "one of process, pool and supervisor")
      end
      kind = candidate
    end
  end
  if not kind then
    schema.refuse(path, "what is to be supervised is missing: write process, pool or supervisor",
      checked, "one of process, pool and supervisor")
  end
  return kind
end

-- A class that cannot be found is a mistake of the declaration.
---@param path string
---@param given any
---@return titan.Target
local function locate_child(path, given)
  local ok, target = pcall(locate.find, given)
  if not ok then
    schema.refuse(path, target.message or tostring(target), given,
      "a module name, a file path, or what titan.process returned")
  end
  return target
end

-- What is said to `pm:spawn` of a process, but for its name.
---@param path string
---@param given table?
local function check_options(path, given)
  if config.spawn_options(given, nil, path).name then
    schema.refuse(path .. ".name", "a process is called what its child is; write the name there",
      given.name, "nothing")
  end
end

---@param path string
---@param declared table
---@return titan.ChildDeclaration
function supervisor.check_child(path, declared)
  local checked = schema.check(child_schema, declared, path)
  local kind = kind_of(path, checked)
  if checked.critical and checked.optional then
    schema.refuse(path .. ".optional", "a child is critical or optional, not both", true, "false")
  end
  if kind == "process" then
    check_options(path .. ".options", checked.options)
  elseif kind == "pool" then
    pool_config.check(checked.options, config.check(), path .. ".options")
  end
  local child = {
    kind = kind, options = checked.options, restart = checked.restart, critical = checked.critical,
    optional = checked.optional, shutdown_timeout = checked.shutdown_timeout,
    policy = policy_of(checked), path = path,
  }
  local inside = text.join(path, kind)
  if kind == "supervisor" then
    child.declaration = supervisor.check(checked.supervisor, inside)
    child.name = checked.name or child.declaration.name or "supervisor"
  else
    child.target = locate_child(inside, checked[kind])
    child.name = checked.name or child.target.class and child.target.class.name
      or child.target.name
  end
  return child
end

-- Methods annotated `child` say what the children are.
---@param path string
---@param declared table
---@return table[] specifications, in their order
local function children_of_methods(path, declared)
  local methods, names = declared_methods.check(path, declared, false)
  local specs = {}
  for _, name in ipairs(names) do
    local spec = methods[name].child
    if spec then
      local given = methods[name].fn({ name = name })
      local is_supervisor = type(given) == "table" and getmetatable(given) == metatable
      spec.name, spec[is_supervisor and "supervisor" or "process"] = name, given
      specs[#specs + 1] = spec
    end
  end
  table.sort(specs, function(a, b)
    return a.order < b.order or a.order == b.order and a.name < b.name
  end)
  for _, spec in ipairs(specs) do
    spec.order = nil
  end
  return specs
end

---@param path string
---@param children titan.ChildDeclaration[]
---@param strategy string
local function check_together(path, children, strategy)
  local seen = {}
  for index, child in ipairs(children) do
    if seen[child.name] then
      schema.refuse(text.join(path, index), string.format("a second child called %q; give it a "
        .. "name of its own", child.name), child.name, "a name that no other child has")
    end
    seen[child.name] = true
  end
  if strategy == "simple_one_for_one" and #children ~= 1 then
    schema.refuse(path, string.format("simple_one_for_one has exactly one child, the template of "
      .. "those that add_child starts; given %d", #children), children, "one child")
  end
end

--- Checks a declaration and all below it. Raises `invalid_config` naming the path.
---@param given any what titan.supervisor returned, or a table like its argument
---@param path string
---@return titan.SupervisorDeclaration
function supervisor.check(given, path)
  if getmetatable(given) == metatable then
    return given
  end
  local checked = schema.check(supervisor_schema, given, path)
  local specs = checked.children
  if checked.methods then
    for _, spec in ipairs(children_of_methods(text.join(path, "methods"), checked.methods)) do
      specs[#specs + 1] = spec
    end
  end
  local children, inside = {}, text.join(path, "children")
  for index, spec in ipairs(specs) do
    children[index] = supervisor.check_child(text.join(inside, index), spec)
  end
  check_together(inside, children, checked.strategy)
  return setmetatable({
    kind = "supervisor", name = checked.name, strategy = checked.strategy,
    policy = policy_of(checked), children = children, on_child_crash = checked.on_child_crash,
  }, metatable)
end

--- `titan.supervisor { ... }`: a declaration for pm:create_supervisor, or a child of another.
---@param declaration table
---@return titan.SupervisorDeclaration
function supervisor.declare(declaration)
  return supervisor.check(declaration, "supervisor")
end

return supervisor
