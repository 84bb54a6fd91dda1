--- The methods of a class declaration: their names, functions and annotations.

local annotations = require "titan.annotations.all"
local schema = require "titan.schema"
local sorted = require "titan.sorted"
local text = require "titan.text"

local methods = {}

---@class titan.Method
---@field fn fun(self: table, ...): ...
---@field public boolean
---@field on_shutdown boolean
---@field health_check? boolean
---@field description? string
---@field idempotent? boolean|titan.IdempotentOptions
---@field stream? boolean whether it returns an iterator
---@field child? table of a supervisor's method
---@field layers? { name: string, annotation: titan.Annotation, value: any }[] what wraps it, the
--- outermost first

---@class titan.KnownAnnotations
---@field list { name: string, annotation: titan.Annotation }[] in the order they are applied in
---@field schema titan.Schema

---@param own? table<string, titan.Annotation>
---@return titan.KnownAnnotations
local function known_annotations(own)
  local list, fields = annotations.list(own, own and sorted.keys(own)), {}
  for _, entry in ipairs(list) do
    fields[entry.name] = entry.annotation.schema
  end
  for name, feature in pairs(annotations.pending) do
    fields[name] = { kind = "any", pending = feature }
  end
  return { list = list, schema = { kind = "table", noun = "annotation", fields = fields } }
end

local built_in <const> = known_annotations()

---@type titan.Schema
local own_schema <const> = {
  kind = "table",
  fields = {
    schema = { kind = "any", type = "table", required = true, allowed = "a schema",
      doc = "what may be written; see titan.schema" },
    check = { kind = "function" },
    apply = { kind = "function" },
    wrap = { kind = "function", doc = "(inner, value, place) -> the function around it" },
    wrap_inside = { kind = "function" },
    wrap_entry = { kind = "function" },
    excludes = { kind = "map", key = { kind = "string" }, value = { kind = "string" } },
  },
}

--- Checks the `annotations` of a declaration: the user's own, by name. Raises `invalid_config`.
---@param path string
---@param own? table<string, any>
---@return titan.KnownAnnotations
function methods.known(path, own)
  if own == nil or next(own) == nil then
    return built_in
  end
  local checked = {}
  for _, name in ipairs(sorted.keys(own)) do
    local inside = text.join(path, name)
    if type(name) ~= "string" or not name:find "^[A-Za-z_][A-Za-z0-9_]*$" then
      schema.refuse(inside, "an annotation's name is a Lua identifier", name, "another name")
    elseif built_in.schema.fields[name] then
      schema.refuse(inside, string.format('"%s" is an annotation of Titan\'s own', name), name,
        "another name")
    end
    checked[name] = schema.check(own_schema, own[name], inside)
  end
  return known_annotations(checked)
end

-- Words of the language: no call `worker:end()` could be written.
local keywords = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or
  repeat return then true until while]]):gmatch("%a+") do
  keywords[word] = true
end

-- What a proxy offers under these names would hide a method.
local proxy_names = { async = "proxy.async:method(...)", with = "proxy:with{...}:method(...)" }

---@param path string
---@param name any
local function check_method_name(path, name)
  local allowed = "a Lua identifier that does not begin with two underscores"
  if type(name) == "number" then
    schema.refuse(path, "the method's name is missing; write `name = function(self) ... end`",
      name, allowed)
  elseif type(name) ~= "string" then
    schema.refuse(path, "a method's name is a string, not a " .. type(name), name, allowed)
  elseif name:find("^__") then
    schema.refuse(path, "names that begin with two underscores belong to Titan", name, allowed)
  elseif not name:find("^[A-Za-z_][A-Za-z0-9_]*$") then
    schema.refuse(path, "a method's name must be a Lua identifier, given " .. text.given(name),
      name, allowed)
  elseif keywords[name] then
    schema.refuse(path, string.format('"%s" is a word of the Lua language, not a name', name),
      name, allowed)
  end
end

---@param path string
---@param declared table
---@param known titan.KnownAnnotations
---@return function fn
---@return table annotations those that are present, checked
local function split_method(path, declared, known)
  local fn, written = nil, {}
  for key, value in next, declared do
    if key == 1 then
      fn = value
    else
      written[key] = value
    end
  end
  if fn == nil then
    schema.refuse(path, "the method itself is missing; put its function at [1]", declared,
      "a function at [1]")
  elseif type(fn) ~= "function" then
    schema.refuse(path .. "[1]", "expected a function, given " .. text.given(fn), fn, "a function")
  end
  return fn, schema.check(known.schema, written, path)
end

---@param path string
---@param written table
---@param name string
---@param annotation titan.Annotation
local function check_together(path, written, name, annotation)
  for other, why in pairs(annotation.excludes or {}) do
    if written[other] ~= nil and written[other] ~= false then
      schema.refuse(path, string.format("%s and %s cannot be together: %s", name, other, why),
        written[name], "one of the two")
    end
  end
end

---@param path string
---@param declared any
---@param is_public boolean unless the method says otherwise
---@param known titan.KnownAnnotations
---@return titan.Method
local function method_of(path, declared, is_public, known)
  if type(declared) == "function" then
    return { fn = declared, public = is_public, on_shutdown = false }
  elseif type(declared) ~= "table" then
    local allowed = "a function, or a table with the function at [1]"
    local why = string.format("expected %s, given %s", allowed, text.given(declared))
    schema.refuse(path, why, declared, allowed)
  end
  local fn, written = split_method(path, declared, known)
  local method = { fn = fn, public = is_public, on_shutdown = false }
  for _, entry in ipairs(known.list) do
    local name, annotation, value = entry.name, entry.annotation, written[entry.name]
    if value ~= nil then
      if annotation.check then
        annotation.check(value, text.join(path, name))
      end
      if annotation.apply then
        annotation.apply(method, value)
      end
    end
    if value ~= nil and value ~= false then
      check_together(path, written, name, annotation)
      if annotation.wrap or annotation.wrap_inside or annotation.wrap_entry then
        method.layers = method.layers or {}
        table.insert(method.layers, { name = name, annotation = annotation, value = value })
      end
    end
  end
  return method
end

---@param path string
---@param name string
---@param method titan.Method
local function check_exposure(path, name, method)
  if method.public and proxy_names[name] then
    local why = string.format('a public method may not be called "%s", since proxies use the name '
      .. "for %s; rename it or make it private", name, proxy_names[name])
    schema.refuse(path, why, name, "any other name")
  end
end

--- Checks the `methods` of a declaration. Raises `invalid_config`.
---@param path string
---@param declared table
---@param are_public boolean those that do not say
---@param known? titan.KnownAnnotations more than Titan's own
---@return table<string, titan.Method>
---@return string[] names sorted
function methods.check(path, declared, are_public, known)
  local checked, names = {}, sorted.keys(declared)
  for _, name in ipairs(names) do
    local inside = text.join(path, name)
    check_method_name(inside, name)
    checked[name] = method_of(inside, rawget(declared, name), are_public, known or built_in)
    check_exposure(inside, name, checked[name])
  end
  return checked, names
end

return methods
