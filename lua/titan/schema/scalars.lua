--- The kinds of the schema that hold nothing inside.
--
-- Every kind, here and in titan.schema.containers, is a pair of functions.
-- `describe(spec, walk)` is a phrase that can follow "expected".
-- `check(spec, value, path, walk, pending)` gets a value that is not nil and returns a
-- checked copy, or nil and a problem. `walk` is the way back into titan.schema:
-- `walk.visit` checks a value inside this one, `walk.describe` describes any spec.

local problem = require "titan.schema.problem"
local text = require "titan.text"
local units = require "titan.units"

---@alias titan.SchemaVisit
---| fun(spec: titan.Schema, value: any, path: string, pending?: string): any, titan.SchemaProblem?

---@class titan.SchemaWalk
---@field visit titan.SchemaVisit
---@field describe fun(spec: titan.Schema): string
---@field stands_for fun(spec: titan.Schema): boolean

---@class titan.SchemaKindRules
---@field describe fun(spec: titan.Schema, walk: titan.SchemaWalk): string
---@field check function (spec, value, path, walk, pending?) -> checked | nil, titan.SchemaProblem

---@type table<string, titan.SchemaKindRules>
local scalars = {}

---@param amount number
---@param min number?
---@param max number?
---@return boolean
local function is_within(amount, min, max)
  return not (min and amount < min) and not (max and amount > max)
end

-- A kind whose values are all of one Lua type, with nothing more to check.
---@param lua_type string
---@param noun string
---@return titan.SchemaKindRules
local function plain(lua_type, noun)
  return {
    describe = function()
      return noun
    end,
    check = function(spec, value, path, walk)
      if type(value) ~= lua_type then
        return nil, problem.unexpected(path, value, walk.describe(spec), true)
      end
      return value
    end,
  }
end

-- A kind of number; `accept` returns the number to keep, or nil.
---@param noun string
---@param accept fun(value: number): number?
---@return titan.SchemaKindRules
local function numeric(noun, accept)
  return {
    describe = function(spec)
      return noun .. text.range(spec.min, spec.max, tostring)
    end,
    check = function(spec, value, path, walk)
      if type(value) ~= "number" then
        return nil, problem.unexpected(path, value, walk.describe(spec), true)
      end
      local number = accept(value)
      if not number or not is_within(number, spec.min, spec.max) then
        return nil, problem.unexpected(path, value, walk.describe(spec))
      end
      return number
    end,
  }
end

-- A kind that titan.units reads; its bounds are written with units too.
---@param noun string
---@param forms string how a value is written
---@param read fun(value: any): integer?, string?
---@param show fun(amount: integer): string
---@return titan.SchemaKindRules
local function measured(noun, forms, read, show)
  local function show_bound(bound)
    return show((read(bound)))
  end
  return {
    describe = function(spec)
      return noun .. text.range(spec.min, spec.max, show_bound) .. " (" .. forms .. ")"
    end,
    check = function(spec, value, path, walk)
      local allowed = walk.describe(spec)
      if type(value) ~= "number" and type(value) ~= "string" then
        return nil, problem.unexpected(path, value, allowed, true)
      end
      local amount, why = read(value)
      if not amount then
        return nil, problem.new(path, why, value, allowed)
      elseif not is_within(amount, spec.min and read(spec.min), spec.max and read(spec.max)) then
        return nil, problem.unexpected(path, value, allowed)
      end
      return amount
    end,
  }
end

scalars.boolean = plain("boolean", "true or false")

scalars["function"] = plain("function", "a function")

scalars.integer = numeric("an integer", math.tointeger)

scalars.number = numeric("a number", function(value)
  local is_finite = value - value == 0
  return is_finite and value or nil
end)

scalars.duration = measured("a duration", 'milliseconds, or a string such as "30s"',
  units.duration, units.format_duration)

scalars.size = measured("a size", 'bytes, or a string such as "64KB"',
  units.size, units.format_size)

scalars.string = {
  describe = function(spec)
    return "a string" .. text.range(spec.min, spec.max, tostring, " bytes")
  end,
  check = function(spec, value, path, walk)
    if type(value) ~= "string" then
      return nil, problem.unexpected(path, value, walk.describe(spec), true)
    end
    local matches = not spec.pattern or value:find(spec.pattern)
    if not matches or not is_within(#value, spec.min, spec.max) then
      return nil, problem.unexpected(path, value, walk.describe(spec))
    end
    return value
  end,
}

scalars.any = {
  describe = function(spec)
    return spec.type and "a value of type " .. spec.type or "any value"
  end,
  check = function(spec, value, path, walk)
    if spec.type and type(value) ~= spec.type then
      return nil, problem.unexpected(path, value, walk.describe(spec), true)
    end
    return value
  end,
}

---@param values any[]
---@return string
local function choice(values)
  local words = {}
  for index, value in ipairs(values) do
    words[index] = text.literal(value)
  end
  return text.enumerated(words, "or")
end

-- The strings that an enum knows, those not built yet among them.
---@param spec titan.Schema
---@return string[]
local function known_names(spec)
  local names = {}
  for _, value in ipairs(spec.values) do
    if type(value) == "string" then
      names[#names + 1] = value
    end
  end
  for name in pairs(spec.pending_values or {}) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

scalars.enum = {
  describe = function(spec)
    return choice(spec.values)
  end,
  check = function(spec, value, path, walk)
    for _, known in ipairs(spec.values) do
      if known == value then
        return value
      end
    end
    local allowed, names = walk.describe(spec), known_names(spec)
    local feature = spec.pending_values and spec.pending_values[value]
    if feature then
      local why = text.not_built(feature) .. "; what works is " .. choice(spec.values)
      return nil, problem.new(path, why, value, allowed)
    elseif type(value) ~= "string" or #names == 0 then
      return nil, problem.unexpected(path, value, allowed, true)
    end
    local help = problem.suggestion(value, names) or "allowed: " .. allowed
    local why = string.format("unknown value %s; %s", text.quoted(value), help)
    return nil, problem.new(path, why, value, allowed)
  end,
}

return scalars
