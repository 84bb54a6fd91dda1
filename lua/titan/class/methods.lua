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
---@field child? table of a supervisor's method

---@return titan.Schema
local function method_schema()
  local fields = {}
  for _, entry in ipairs(annotations.built) do
    fields[entry.name] = entry.annotation.schema
  end
  for name, feature in pairs(annotations.pending) do
    fields[name] = { kind = "any", pending = feature }
  end
  return { kind = "table", noun = "annotation", fields = fields }
end

local annotation_schema <const> = method_schema()

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
---@return function fn
---@return table annotations those that are present, checked
local function split_method(path, declared)
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
  return fn, schema.check(annotation_schema, written, path)
end

---@param path string
---@param declared any
---@param is_public boolean unless the method says otherwise
---@return titan.Method
local function method_of(path, declared, is_public)
  if type(declared) == "function" then
    return { fn = declared, public = is_public, on_shutdown = false }
  elseif type(declared) ~= "table" then
    local allowed = "a function, or a table with the function at [1]"
    local why = string.format("expected %s, given %s", allowed, text.given(declared))
    schema.refuse(path, why, declared, allowed)
  end
  local fn, written = split_method(path, declared)
  local method = { fn = fn, public = is_public, on_shutdown = false }
  for _, entry in ipairs(annotations.built) do
    if written[entry.name] ~= nil then
      entry.annotation.apply(method, written[entry.name])
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
---@return table<string, titan.Method>
---@return string[] names sorted
function methods.check(path, declared, are_public)
  local checked, names = {}, sorted.keys(declared)
  for _, name in ipairs(names) do
    local inside = text.join(path, name)
    check_method_name(inside, name)
    checked[name] = method_of(inside, rawget(declared, name), are_public)
    check_exposure(inside, name, checked[name])
  end
  return checked, names
end

return methods
