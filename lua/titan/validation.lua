--- What values may be, said in a table, and compiled into a function that checks them.
--
-- A schema is the name of a type, or a table of one of these forms:
--
--     "integer"                                string integer number boolean table buffer any;
--                                              with a "?" behind it nil will do
--     { type = "integer", min =, max = }       a number likewise; either bound may be left out
--     { type = "string", min_len =, max_len =, pattern = }      bytes; a Lua pattern
--     { one_of = { "png", "jpeg" } }           strings, numbers, booleans; `type` may be there
--     { list = schema, min_len =, max_len = }  1..n without holes
--     { map = schema, keys = schema }          any table; keys may be left out
--     { fields = { width = schema, ... }, open = true }         without `open` no other fields
--     { any_of = { schema, ... } }             what fits one of them
--
-- and in each of the tables:
--
--     optional = true                          nil will do
--     check = function(value) ... end          called last; false and why it does not fit
--
-- A table with `check` alone is any value that it accepts. "any" is every value but nil, "integer"
-- only what math.type calls one (3.0 is none), "number" every number, NaN only without bounds.
-- Nothing is converted, filled in or changed, and tables are read without their metamethods.
--
-- This is not titan.schema: that one walks over data, once, to make a complete and converted copy
-- of a config; this one is called for each call, so what there is to decide is decided beforehand,
-- and a value that fits costs no memory. The form of a schema itself is what titan.schema checks.

local containers = require "titan.validation.containers"
local problems = require "titan.schema.problem"
local scalars = require "titan.validation.scalars"
local schema = require "titan.schema"
local text = require "titan.text"

local validation = {}

--- A compiled schema. Returns nothing for a value that fits. Else: where in the value (`.width`,
--- `[3]`, empty for itself), what was expected there, what is there, the sentence that says so
--- instead of "expected ..." (with nothing given it is the whole), and what a check of the user's
--- raised.
---@alias titan.Check
---| fun(value: any): at: string?, expected: string?, given: any, why: string?, fault: titan.Fault?

---@class titan.Fault
---@field where string the path of the function in the declaration
---@field err any

---@alias titan.Compile fun(schema: any, path: string): titan.Check, string

---@type table<string, titan.Schema>
local common <const> = {
  optional = { kind = "boolean", default = false },
  check = { kind = "function" },
}

---@param own table<string, titan.Schema>
---@return titan.Schema
local function form(own)
  for name, field in pairs(common) do
    own[name] = field
  end
  return { kind = "table", fields = own }
end

local anything <const> = { kind = "any" }
local a_table <const> = { kind = "any", type = "table", allowed = "a table" }
local length <const> = { kind = "integer", min = 0 }

-- A form has the name of the key that makes it.
---@type table<string, titan.Schema>
local forms <const> = {
  list = form { list = anything, min_len = length, max_len = length },
  map = form { map = anything, keys = anything },
  fields = form { fields = a_table, open = { kind = "boolean", default = false } },
  any_of = form { any_of = a_table },
  type = form {
    type = { kind = "string" }, min = { kind = "number" }, max = { kind = "number" },
    min_len = length, max_len = length, pattern = { kind = "string" }, one_of = a_table,
  },
}

--- What a schema that is a table may have, by the key that makes its form.
validation.forms = forms

local MAX_WHY <const> = 200

-- The user's own check, after all the others.
---@param inner titan.Check
---@param description string
---@param fn fun(value: any): boolean, string?
---@param where string
---@return titan.Check
local function with_check(inner, description, fn, where)
  return function(value)
    local at, expected, given, why, fault = inner(value)
    if at then
      return at, expected, given, why, fault
    end
    local ok, fits, reason = pcall(fn, value)
    if not ok then
      return "", nil, nil, nil, { where = where, err = fits }
    elseif not fits then
      reason = type(reason) == "string" and text.printable(reason:sub(1, MAX_WHY)) or nil
      return "", reason or description .. " that passes its check", value, reason
    end
  end
end

--- The same but that nil will do.
---@param inner titan.Check
---@return titan.Check
function validation.optional(inner)
  return function(value)
    if value ~= nil then
      return inner(value)
    end
  end
end

---@param written table
---@return string
local function form_of(written)
  for _, name in ipairs { "list", "map", "fields", "any_of" } do
    if rawget(written, name) ~= nil then
      return name
    end
  end
  return "type"
end

---@param path string
---@param checked table
local function refuse_empty(path, checked)
  if not checked.type and not checked.one_of and not checked.check then
    local words = "type, one_of, list, map, fields, any_of or check"
    schema.refuse(path, "the schema does not say what a value is; give it " .. words, checked,
      words)
  end
end

---@param written any
---@param path string
---@param open table<table, true> the schemas around this one
---@return titan.Check
---@return string description
local function compile(written, path, open)
  if type(written) == "string" then
    local check, description, is_optional = scalars.named(written, path)
    return is_optional and validation.optional(check) or check, description
  elseif type(written) ~= "table" then
    local allowed = "the name of a type, or a table"
    schema.refuse(path, "a schema is " .. allowed .. ", given " .. text.given(written), written,
      allowed)
  elseif open[written] then
    schema.refuse(path, "the schema contains itself", written, "a schema that ends")
  end
  local kind = form_of(written)
  local checked = schema.check(forms[kind], written, path)
  open[written] = true
  local check, description, is_optional
  if kind == "type" then
    refuse_empty(path, checked)
    check, description, is_optional = scalars.compile(checked, path)
  else
    check, description = containers[kind](checked, path, function(inner, inside)
      return compile(inner, inside, open)
    end)
  end
  open[written] = nil
  if checked.check then
    check = with_check(check, description, checked.check, path .. ".check")
  end
  if checked.optional or is_optional then
    check = validation.optional(check)
  end
  return check, description
end

--- The function that checks a value by a schema. Raises `invalid_config`, with the path, for what
--- is no schema.
---@param written any
---@param path string of the schema
---@return titan.Check
---@return string description what follows "expected"
function validation.compile(written, path)
  return compile(written, path, {})
end

local list_keys <const> = { "rest" }

--- The functions that check a list of values: `{ schema, ..., rest = schema }`.
---@param written table
---@param path string
---@return titan.Check[]
---@return titan.Check? rest of those that follow
function validation.compile_list(written, path)
  local checks, rest, len = {}, nil, rawlen(written)
  for index = 1, len do
    local inside = text.join(path, index)
    if rawget(written, index) == nil then
      schema.refuse(inside, "missing; a list of schemas has no holes", nil, "a schema")
    end
    checks[index] = validation.compile(written[index], inside)
  end
  for name, value in next, written do
    local inside = text.join(path, name)
    if name == "rest" then
      rest = validation.optional((validation.compile(value, inside)))
    elseif math.type(name) ~= "integer" or name < 1 or name > len then
      local help = type(name) == "string" and problems.suggestion(name, list_keys)
        or "a list of schemas has 1, 2, 3, ... without holes, and rest"
      schema.refuse(inside, "unknown key; " .. help, name, "schemas, and rest")
    end
  end
  return checks, rest
end

return validation
