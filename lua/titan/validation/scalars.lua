--- Schemas of values that hold nothing inside, compiled. See titan.validation.

local core = require "titan.core"
local pattern_problem = require "titan.validation.pattern"
local problems = require "titan.schema.problem"
local schema = require "titan.schema"
local sorted = require "titan.sorted"
local text = require "titan.text"

local scalars = {}

local type <const>, math_type <const>, find <const> = type, math.type, string.find

local MAX_SHOWN <const> = 8 -- values of one_of in a message

-- What goes with each type.
---@type table<string, string[]>
local keys_of <const> = {
  string = { "min_len", "max_len", "pattern", "one_of" },
  integer = { "min", "max", "one_of" },
  number = { "min", "max", "one_of" },
  boolean = {},
  table = {},
  buffer = {},
  any = {},
}

local type_names <const> = sorted.keys(keys_of)

--- The names of all types, sorted.
scalars.type_names = type_names

local constraints <const> = { "min", "max", "min_len", "max_len", "pattern", "one_of" }

--- " in 1..9", " of at least 1"; with a unit " of 1..9 bytes".
---@param min? number
---@param max? number
---@param unit? string
---@return string
function scalars.bounds(min, max, unit)
  local behind = unit and " " .. unit or ""
  if min and max then
    local upper = min == max and unit and "" or ".." .. max
    return (unit and " of " or " in ") .. min .. upper .. behind
  elseif min then
    return " of at least " .. min .. behind
  elseif max then
    return " of at most " .. max .. behind
  end
  return ""
end

--- Raises when the bounds are the wrong way round.
---@param checked table
---@param path string
---@param low string
---@param high string
function scalars.check_bounds(checked, path, low, high)
  local min, max = checked[low], checked[high]
  if min and max and min > max then
    local why = string.format("%s (%s) is above %s (%s)", low, min, high, max)
    schema.refuse(path .. "." .. low, why, min, "at most " .. max)
  end
end

---@param name string
---@param path string
---@return string type
---@return boolean is_optional
local function parse(name, path)
  local plain, mark = name:match "^(.-)(%??)$"
  if not keys_of[plain or ""] then
    local help = problems.suggestion(plain or name, type_names)
      or "there are " .. text.enumerated(type_names, "and")
    local why = string.format("unknown type %s; %s", text.quoted(plain or name), help)
    schema.refuse(path, why, name, text.enumerated(type_names, "or"))
  end
  return plain, mark == "?"
end

-- Values of a type, without more to say about them. One function each is enough for all.
---@type table<string, titan.Check>
local plain_checks <const> = {
  any = function(value)
    if value == nil then
      return "", "any value but nil", value
    end
  end,
  integer = function(value)
    if math_type(value) ~= "integer" then
      return "", "integer", value
    end
  end,
  buffer = function(value)
    if not core.is_buffer(value) then
      return "", "titan.buffer", value
    end
  end,
}
for _, name in ipairs { "string", "number", "boolean", "table" } do
  plain_checks[name] = function(value)
    if type(value) ~= name then
      return "", name, value
    end
  end
end

---@param name string
---@return string
local function describe(name)
  return name == "any" and "any value but nil" or name == "buffer" and "titan.buffer" or name
end

--- The check of a type by its name, such as "integer?".
---@param name string
---@param path string
---@return titan.Check
---@return string description
---@return boolean is_optional
function scalars.named(name, path)
  local plain, is_optional = parse(name, path)
  return plain_checks[plain], describe(plain), is_optional
end

---@param checked table
---@param kind "integer"|"number"
---@return titan.Check
---@return string description
local function bounded(checked, kind)
  local description = kind .. scalars.bounds(checked.min, checked.max)
  local min, max = checked.min or -math.huge, checked.max or math.huge
  if kind == "integer" then
    return function(value)
      if math_type(value) ~= "integer" or value < min or value > max then
        return "", description, value
      end
    end, description
  end
  return function(value)
    if type(value) ~= "number" or not (value >= min and value <= max) then
      return "", description, value
    end
  end, description
end

---@param checked table
---@return titan.Check
---@return string description
local function string_of(checked)
  local pattern, min, max = checked.pattern, checked.min_len or 0, checked.max_len or math.huge
  local description = "string" .. scalars.bounds(checked.min_len, checked.max_len, "bytes")
  if not pattern then
    return function(value)
      if type(value) ~= "string" or #value < min or #value > max then
        return "", description, value
      end
    end, description
  end
  description = description .. " matching " .. text.quoted(pattern)
  return function(value)
    if type(value) ~= "string" or #value < min or #value > max or not find(value, pattern) then
      return "", description, value
    end
  end, description
end

---@param checked table
---@param path string
---@param inner? titan.Check of the type
---@return titan.Check
---@return string description
local function choice(checked, path, inner)
  local set, words, len = {}, {}, rawlen(checked.one_of)
  for key, value in next, checked.one_of do
    local inside, kind = text.join(path .. ".one_of", key), type(value)
    if math_type(key) ~= "integer" or key < 1 or key > len then
      schema.refuse(inside, "one_of is a list, without holes", value, "a list of values")
    elseif (kind ~= "string" and kind ~= "number" and kind ~= "boolean") or value ~= value then
      schema.refuse(inside, "expected a string, a number or a boolean, given " .. text.given(value),
        value, "a string, a number or a boolean")
    elseif inner and inner(value) then
      local why = string.format("no %s, given %s", checked.type, text.given(value))
      schema.refuse(inside, why, value, checked.type)
    end
    set[value] = true
    words[key] = text.literal(value)
  end
  if len == 0 then
    schema.refuse(path .. ".one_of", "nothing fits an empty one_of", checked.one_of, "some values")
  end
  local description = len > MAX_SHOWN and "one of " .. len .. " values"
    or text.enumerated(words, "or")
  return function(value)
    -- 1.0 finds 1 in the set, so the type has its own say.
    if value == nil or not set[value] or inner and inner(value) then
      return "", description, value
    end
  end, description
end

-- What does not go with the type.
---@param checked table
---@param path string
---@param kind? string
local function check_constraints(checked, path, kind)
  local allowed = kind and keys_of[kind] or { "one_of" }
  for _, name in ipairs(constraints) do
    local goes = false
    for _, other in ipairs(allowed) do
      goes = goes or name == other
    end
    if checked[name] ~= nil and not goes then
      schema.refuse(path .. "." .. name, string.format("%s has no %s; it has %s",
        kind and "the type " .. kind or "a schema without a type", name,
        text.enumerated(allowed, "and")), checked[name], "nothing")
    elseif checked[name] ~= nil and name ~= "one_of" and checked.one_of then
      schema.refuse(path .. "." .. name, "one_of says all; leave it out", checked[name], "nothing")
    end
  end
  scalars.check_bounds(checked, path, "min", "max")
  scalars.check_bounds(checked, path, "min_len", "max_len")
end

--- The check of a table with `type`, `one_of`, or neither.
---@param checked table
---@param path string
---@return titan.Check
---@return string description
---@return boolean is_optional
function scalars.compile(checked, path)
  local kind, is_optional
  if checked.type then
    kind, is_optional = parse(checked.type, path .. ".type")
    checked.type = kind
  end
  check_constraints(checked, path, kind)
  local why = checked.pattern and pattern_problem(checked.pattern)
  if why then
    schema.refuse(path .. ".pattern", "a bad pattern: " .. why, checked.pattern, "a Lua pattern")
  end
  local check, description = plain_checks[kind or "any"], describe(kind or "any")
  if checked.one_of then
    check, description = choice(checked, path, kind and check)
  elseif checked.min or checked.max then
    check, description = bounded(checked, kind)
  elseif checked.min_len or checked.max_len or checked.pattern then
    check, description = string_of(checked)
  end
  return check, description, is_optional or false
end

return scalars
