--- A small declarative validator for config tables, options and class declarations.
--
-- A spec is data: a table with a `kind` and what goes with it. `schema.check` compares
-- a value with its spec and returns a checked copy in which every default is filled in
-- and every duration and size is an integer. The value is never changed, and the copy
-- shares no table with the defaults. The first mistake found, in the order of sorted
-- keys, is raised as an `invalid_config` error that names the full path, what was
-- given and what is allowed.
--
-- What each kind accepts is in titan.schema.scalars and titan.schema.containers; here
-- is what holds for all of them: missing values, defaults, features not built yet.

local containers = require "titan.schema.containers"
local errors = require "titan.errors"
local problems = require "titan.schema.problem"
local scalars = require "titan.schema.scalars"
local text = require "titan.text"

local schema = {}

---@alias titan.SchemaKind
---| "boolean"  # true or false
---| "integer"  # a whole number (64.0 is accepted and becomes 64); min, max
---| "number"   # a finite integer or float; min, max
---| "string"   # min and max bytes; pattern
---| "duration" # titan.Duration, becomes integer milliseconds; min, max
---| "size"     # titan.Size, becomes integer bytes; min, max
---| "function" # a Lua or C function
---| "enum"     # one of `values`; `pending_values` are known but not built yet
---| "list"     # 1..n without holes, each item fits `of`; min and max items
---| "map"      # any number of keys that fit `key`, with values that fit `value`
---| "table"    # a record: the keys of `fields` and no others
---| "any"      # passed through as it is; `type` may demand one Lua type
---| "one_of"   # the first spec of the list `of` that the value fits

---@class titan.Schema
---@field kind titan.SchemaKind
---@field default? any stands for a missing value; written as a user would write it
---@field required? boolean the value may not be missing
---@field optional? boolean a missing record stays missing instead of getting its defaults
---@field min? any
---@field max? any
---@field pattern? string a Lua pattern that the string must match
---@field values? any[]
---@field pending_values? table<string, string> value -> the feature it belongs to
---@field of? titan.Schema|titan.Schema[]
---@field key? titan.Schema
---@field value? titan.Schema
---@field fields? table<string, titan.Schema>
---@field noun? string what a key of this record is called; "key" unless told
---@field type? string the name of a Lua type
---@field convert? fun(checked: any): any, string? last step; nil and why refuses
---@field allowed? string says what is allowed, instead of what is made from the kind
---@field pending? string a feature not built yet: nothing but the default is accepted
---@field doc? string

---@param a any
---@param b any
---@return boolean whether both are the same data
local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in next, a do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in next, b do
    if a[key] == nil then
      return false
    end
  end
  return true
end

---@generic T
---@param value T
---@return T
local function copied(value)
  if type(value) ~= "table" then
    return value
  end
  local copy = {}
  for key, item in next, value do
    copy[key] = copied(item)
  end
  return copy
end

---@type titan.SchemaWalk
local walk = {}

---@param spec titan.Schema
---@return titan.SchemaKindRules
local function rules(spec)
  return scalars[spec.kind]
    or containers[spec.kind]
    or error("schema: unknown kind " .. text.given(spec.kind))
end

--- What a spec allows, as a phrase that can follow "expected".
---@param spec titan.Schema
---@return string
function walk.describe(spec)
  return spec.allowed or rules(spec).describe(spec, walk)
end

--- Whether a missing value has a meaning: a default, a mistake.
---@param spec titan.Schema
---@return boolean
function walk.stands_for(spec)
  return spec.required or spec.default ~= nil or (spec.kind == "table" and not spec.optional)
end

---@param spec titan.Schema
---@param value any not nil
---@param path string
---@param pending? string
---@return any checked
---@return titan.SchemaProblem?
local function check_present(spec, value, path, pending)
  local checked, problem = rules(spec).check(spec, value, path, walk, pending)
  if problem or not spec.convert then
    return checked, problem
  end
  local converted, why = spec.convert(checked)
  if why then
    return nil, problems.new(path, why, value, walk.describe(spec))
  end
  return converted
end

-- What defaults became when they were first checked: each use has a copy.
---@type table<titan.Schema, { checked: any }>
local defaults = setmetatable({}, { __mode = "k" })

---@param spec titan.Schema
---@param path string
---@return any default
---@return titan.SchemaProblem?
local function check_default(spec, path)
  local known = defaults[spec]
  if not known then
    local checked, problem = check_present(spec, copied(spec.default), path)
    if problem then
      return nil, problem
    end
    known = { checked = checked }
    defaults[spec] = known
  end
  return copied(known.checked)
end

---@param spec titan.Schema
---@param path string
---@return any default
---@return titan.SchemaProblem?
local function check_absent(spec, path)
  if spec.required then
    local allowed = walk.describe(spec)
    return nil, problems.new(path, "required; expected " .. allowed, nil, allowed)
  elseif spec.default ~= nil then
    return check_default(spec, path)
  elseif spec.kind == "table" and not spec.optional then
    return check_present(spec, {}, path)
  end
end

-- Checks a value, missing or not. `pending` is the feature that the record around it
-- belongs to, when that is not built yet.
---@param spec titan.Schema
---@param value any
---@param path string
---@param pending? string
---@return any checked
---@return titan.SchemaProblem?
function walk.visit(spec, value, path, pending)
  if value == nil then
    return check_absent(spec, path)
  end
  pending = spec.pending or pending
  local checked, problem = check_present(spec, value, path, pending)
  -- Inside a pending record each field answers for itself, so that its path is named.
  if not pending or (spec.kind == "table" and type(value) == "table") then
    return checked, problem
  end
  local default = check_absent(spec, path)
  if problem or not same(checked, default) then
    local why = text.not_built(pending) .. "; leave the key out"
    return nil, problems.new(path, why, value, "nothing but the default")
  end
  return checked
end

---@param problem titan.SchemaProblem
local function raise(problem)
  local prefix = problem.path == "" and "" or problem.path .. ": "
  errors.raise("invalid_config", prefix .. problem.why, {
    details = { path = problem.path, given = problem.given, allowed = problem.allowed },
  })
end

--- Raises `invalid_config` for a mistake that a spec cannot express, in the same shape.
---@param path string
---@param why string
---@param value any what was given
---@param allowed string
function schema.refuse(path, why, value, allowed)
  raise(problems.new(path, why, value, allowed))
end

--- A checked copy of `value` with the defaults merged in deeply.
--
-- Raises `invalid_config` with details `{ path, given, allowed }`. A value that is
-- missing altogether is its default; for a record that is the defaults of its fields.
---@param spec titan.Schema
---@param value any
---@param where string the path of the value itself, "config"; may be empty
---@return any checked
function schema.check(spec, value, where)
  local checked, problem = walk.visit(spec, value, where)
  if problem then
    raise(problem)
  end
  return checked
end

return schema
