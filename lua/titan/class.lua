--- Class declarations: what `titan.process { ... }` accepts and returns.
--
-- A declaration is checked as a whole where it is written, so that a misspelt
-- annotation is found when the module is loaded and not when the method is called.

local declared_methods = require "titan.class.methods"
local declared_source = require "titan.class.source"
local errors = require "titan.errors"
local resources = require "titan.config.resources"
local schema = require "titan.schema"
local shared = require "titan.config.shared"
local text = require "titan.text"

local class = {}

---@class titan.Class
---@field kind "process"
---@field name? string
---@field version? string
---@field description? string
---@field source? string absolute path of the file that declares the class
---@field init? fun(self: table, options: table)
---@field methods table<string, titan.Method>
---@field method_names string[] sorted
---@field dependencies titan.Dependency[] sorted by alias
---@field env table<string, string|false>
---@field cwd? string
---@field isolation? titan.Isolation
---@field startup_timeout? integer ms
---@field restart_policy? table what it says, over what the config says
---@field health? table what it says, over what the config says
---@field security? table what it says, over what the config says
---@field resources? table what it says, over what the config says

---@type table<string, titan.Schema>
local declaration_fields = {
  version = { kind = "string", min = 1, allowed = "a non-empty string" },
  description = { kind = "string" },
  init = { kind = "function", doc = "called once with the options of spawn, before `ready`" },
  methods = {
    kind = "any", type = "table", required = true, allowed = "a table of methods by name",
    doc = "checked by titan.class.methods",
  },
  all_methods_public = { kind = "boolean", default = false },
  annotations = {
    kind = "any", type = "table", allowed = "a table of annotations by name",
    doc = "the user's own; checked by titan.class.methods",
  },
}

for name, field in pairs(shared.fields) do
  declaration_fields[name] = field
end

---@type titan.Schema
local declaration_schema = { kind = "table", fields = declaration_fields }

--- What may be written.
class.schema = declaration_schema

local metatable = { __name = "titan.Class" }

---@param self titan.Class
---@return string such as "titan.process image-worker 1.0.0"
function metatable.__tostring(self)
  local words = { "titan." .. self.kind, self.name or "(unnamed)", self.version }
  return table.concat(words, " ")
end

--- Whether `value` is what `titan.process` returned.
---@param value any
---@return boolean
function class.is(value)
  return type(value) == "table" and getmetatable(value) == metatable
end

-- The name with which the paths of errors begin; empty while it is not known.
---@param declaration table
---@return string
local function path_of(declaration)
  local name = rawget(declaration, "name")
  local is_name = type(name) == "string" and name:find(shared.fields.name.pattern)
  return is_name and name or ""
end

---@param checked table
---@param methods table<string, titan.Method>
---@param names string[]
---@return function[] all that the declaration holds, `init` first
local function functions_of(checked, methods, names)
  local functions = { checked.init }
  for _, name in ipairs(names) do
    functions[#functions + 1] = methods[name].fn
  end
  return functions
end

--- Declares a process class.
--
-- Raises `invalid_config`; the path begins with the name of the class where that is
-- known, as in `image-worker.methods.resize.pubic`.
---@param declaration table
---@param level? integer whose file the class belongs to: 1, the default, is the caller
---@return titan.Class
function class.process(declaration, level)
  if type(declaration) ~= "table" then
    local why = "expected a table, given " .. text.given(declaration)
    schema.refuse("titan.process", why, declaration, "a table")
  end
  local path = path_of(declaration)
  local checked = schema.check(declaration_schema, declaration, path)
  resources.settle(checked, path)
  local known = declared_methods.known(text.join(path, "annotations"), checked.annotations)
  local methods, names = declared_methods.check(
    text.join(path, "methods"), checked.methods, checked.all_methods_public, known)
  for _, name in ipairs(names) do
    if methods[name].child then
      schema.refuse(text.join(text.join(path, "methods"), name) .. ".child", "a process has no "
        .. "children; declare it in titan.supervisor", methods[name].child, "no such annotation")
    end
  end
  local source = declared_source.find(level or 1, functions_of(checked, methods, names))
  return setmetatable({
    kind = "process",
    name = checked.name,
    version = checked.version,
    description = checked.description,
    source = source,
    init = checked.init,
    methods = methods,
    method_names = names,
    dependencies = checked.dependencies,
    env = checked.env,
    cwd = checked.cwd,
    isolation = checked.isolation,
    startup_timeout = checked.startup_timeout,
    restart_policy = checked.restart_policy,
    health = checked.health,
    security = checked.security,
    resources = checked.resources,
  }, metatable)
end

--- Stands for a kind of class that does not exist yet: calling it raises `invalid_config`.
---@param kind "workflow"|"actor"|"supervisor"
---@return fun()
function class.not_built(kind)
  return function()
    errors.raise("invalid_config", text.not_built("titan." .. kind))
  end
end

return class
