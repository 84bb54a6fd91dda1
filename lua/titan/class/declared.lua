--- Declarations of any kind, checked as a whole: a mistake is refused with its path and with what
--- is allowed there. Plain ones, which most are, do not come here: see titan.class.

local declared_methods = require "titan.class.methods"
local resources = require "titan.config.resources"
local schema = require "titan.schema"
local shared = require "titan.config.shared"
local text = require "titan.text"

local declared = {}

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
declared.schema = declaration_schema

-- The name with which the paths of errors begin; empty while it is not known.
---@param declaration table
---@return string
local function path_of(declaration)
  local name = rawget(declaration, "name")
  local is_name = type(name) == "string" and name:find(shared.fields.name.pattern)
  return is_name and name or ""
end

--- What a declaration says, as a class has it but for its source.
--
-- Raises `invalid_config`; the path begins with the name of the class where that is
-- known, as in `image-worker.methods.resize.pubic`.
---@param declaration any
---@return titan.Class
function declared.check(declaration)
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
  return {
    kind = "process",
    name = checked.name,
    version = checked.version,
    description = checked.description,
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
  }
end

return declared
