--- Schemas of values that hold others, compiled. See titan.validation.
--
-- Each maker gets the checked form, its path, and the function that compiles what is inside.

local problems = require "titan.schema.problem"
local scalars = require "titan.validation.scalars"
local schema = require "titan.schema"
local sorted = require "titan.sorted"
local text = require "titan.text"

---@alias titan.ValidationMaker
---| fun(checked: table, path: string, compile: titan.Compile): titan.Check, string

---@type table<string, titan.ValidationMaker>
local containers = {}

local type <const>, next <const>, rawget <const>, rawlen <const> = type, next, rawget, rawlen
local math_type <const> = math.type

-- Where a key is, behind the path of its table.
---@param key any
---@return string such as `.width`, `[3]`
local function step(key)
  return text.join("_", key):sub(2)
end

function containers.list(checked, path, compile)
  scalars.check_bounds(checked, path, "min_len", "max_len")
  local item = compile(checked.list, path .. ".list")
  local min, max = checked.min_len or 0, checked.max_len or math.huge
  local description = "list" .. scalars.bounds(checked.min_len, checked.max_len, "items")
  return function(value)
    if type(value) ~= "table" then
      return "", description, value
    end
    local len, count = rawlen(value), 0
    if len < min or len > max then
      return "", description, len
    end
    for key, inside in next, value do
      count = count + 1
      -- They come in their order, but for those of a table that was not made as a list.
      if key ~= count and (math_type(key) ~= "integer" or key < 1 or key > len) then
        return step(key), "no such key", nil, "a list has no such key, and no holes"
      end
      local at, expected, given, why, fault = item(inside)
      if at then
        return step(key) .. at, expected, given, why, fault
      end
    end
    if count ~= len then
      return "", "list without holes", value
    end
  end, description
end

function containers.map(checked, path, compile)
  local item = compile(checked.map, path .. ".map")
  local keys = checked.keys ~= nil and compile(checked.keys, path .. ".keys") or nil
  return function(value)
    if type(value) ~= "table" then
      return "", "table", value
    end
    for key, inside in next, value do
      if keys then
        local at, expected, given, why, fault = keys(key)
        if at then
          return step(key) .. at, expected, given, why or "a bad key: expected " .. expected, fault
        end
      end
      local at, expected, given, why, fault = item(inside)
      if at then
        return step(key) .. at, expected, given, why, fault
      end
    end
  end, "table"
end

-- A field that the schema does not have.
---@param names string[] sorted
---@param key any
---@return string at
---@return string expected
---@return nil given
---@return string why
local function unknown_field(names, key)
  local help = type(key) == "string" and problems.suggestion(key, names)
    or #names > 0 and "there are " .. text.enumerated(names, "and") or "there is none"
  return step(key), "no such field", nil, "unknown field; " .. help
end

---@param names any[]
---@return string[]
local function shown(names)
  local words = {}
  for index, name in ipairs(names) do
    words[index] = type(name) == "string" and name or text.literal(name)
  end
  return words
end

function containers.fields(checked, path, compile)
  local names, checks, known, is_open = sorted.keys(checked.fields), {}, {}, checked.open
  for index, name in ipairs(names) do
    local inside = text.join(path .. ".fields", name)
    if type(name) ~= "string" and math_type(name) ~= "integer" then
      schema.refuse(inside, "a field's name is a string or an integer, not a " .. type(name), name,
        "a string or an integer")
    end
    checks[index] = compile(rawget(checked.fields, name), inside)
    known[name] = true
  end
  local words <const>, count <const> = shown(names), #names
  return function(value)
    if type(value) ~= "table" then
      return "", "table", value
    elseif not is_open then
      -- Before the fields: a misspelt one explains why another is missing.
      for key in next, value do
        if not known[key] then
          return unknown_field(words, key)
        end
      end
    end
    for index = 1, count do
      local at, expected, given, why, fault = checks[index](rawget(value, names[index]))
      if at then
        return step(names[index]) .. at, expected, given, why, fault
      end
    end
  end, "table"
end

function containers.any_of(checked, path, compile)
  local checks, words, count = {}, {}, rawlen(checked.any_of)
  for key in next, checked.any_of do
    if math_type(key) ~= "integer" or key < 1 or key > count then
      schema.refuse(text.join(path .. ".any_of", key), "any_of is a list of schemas, without holes",
        key, "a list of schemas")
    end
  end
  for index = 1, count do
    checks[index], words[index] = compile(rawget(checked.any_of, index),
      text.join(path .. ".any_of", index))
  end
  if count == 0 then
    schema.refuse(path .. ".any_of", "nothing fits an empty any_of", checked.any_of, "some schemas")
  end
  local description = text.enumerated(words, "or")
  return function(value)
    local near_at, near_expected, near_given, near_why
    for index = 1, count do
      local at, expected, given, why, fault = checks[index](value)
      if not at then
        return
      elseif fault then
        return at, expected, given, why, fault
      elseif at ~= "" and not near_at then
        -- Of the right type, as it looks, and wrong inside.
        near_at, near_expected, near_given, near_why = at, expected, given, why
      end
    end
    if near_at then
      return near_at, near_expected, near_given, near_why
    end
    return "", description, value
  end, description
end

return containers
