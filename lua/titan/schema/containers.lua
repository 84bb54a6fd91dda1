--- The kinds of the schema that hold other values: lists, maps, records, alternatives.
--
-- What a kind is: see titan.schema.scalars. Tables are read raw, without metamethods,
-- and are copied.

local problem = require "titan.schema.problem"
local sorted = require "titan.sorted"
local text = require "titan.text"

---@type table<string, titan.SchemaKindRules>
local containers = {}

containers.one_of = {
  describe = function(spec, walk)
    local words = {}
    for index, alternative in ipairs(spec.of) do
      words[index] = walk.describe(alternative)
    end
    return text.enumerated(words, "or")
  end,
  check = function(spec, value, path, walk)
    local nearest
    for _, alternative in ipairs(spec.of) do
      local checked, found = walk.visit(alternative, value, path)
      if not found then
        return checked
      end
      -- The alternative that has the right type knows best what is wrong; it is the right
      -- one, too, when the mistake is further inside.
      if not found.mismatch or found.path ~= path then
        nearest = nearest or found
      end
    end
    return nil, nearest or problem.unexpected(path, value, walk.describe(spec), true)
  end,
}

-- The first key that keeps a table from being a list, or nil.
---@param keys any[] sorted
---@return any key
---@return integer? index where the list stops
local function list_breaker(keys)
  for index, key in ipairs(keys) do
    if key ~= index then
      return key, index
    end
  end
end

---@param count integer
---@param spec titan.Schema
local function is_count_allowed(count, spec)
  return count >= (spec.min or 0) and count <= (spec.max or math.maxinteger)
end

---@param spec titan.Schema
---@param value table
---@param keys any[] sorted
---@param path string
---@param walk titan.SchemaWalk
---@return titan.SchemaProblem?
local function not_a_list(spec, value, keys, path, walk)
  local key, index = list_breaker(keys)
  if not index and is_count_allowed(#keys, spec) then
    return nil
  end
  local allowed = walk.describe(spec)
  if math.type(key) == "integer" and key > index then
    return problem.new(text.join(path, index), "missing; a list has no holes", nil, allowed)
  elseif index then
    local why = string.format("expected %s, found the key %s in it", allowed, text.literal(key))
    return problem.new(path, why, value, allowed, true)
  end
  return problem.new(path, string.format("expected %s, given %d", allowed, #keys), value, allowed)
end

containers.list = {
  describe = function(spec)
    return "a list" .. text.range(spec.min, spec.max, tostring, " items")
  end,
  check = function(spec, value, path, walk)
    if type(value) ~= "table" then
      return nil, problem.unexpected(path, value, walk.describe(spec), true)
    end
    local keys = sorted.keys(value)
    local found = not_a_list(spec, value, keys, path, walk)
    if found then
      return nil, found
    end
    local checked = {}
    for position = 1, #keys do
      local item, wrong = walk.visit(spec.of, value[position], text.join(path, position))
      if wrong then
        return nil, wrong
      end
      checked[position] = item
    end
    return checked
  end,
}

containers.map = {
  describe = function()
    return "a table"
  end,
  check = function(spec, value, path, walk)
    if type(value) ~= "table" then
      return nil, problem.unexpected(path, value, walk.describe(spec), true)
    end
    local checked = {}
    for _, key in ipairs(sorted.keys(value)) do
      local inside = text.join(path, key)
      local checked_key, bad_key = walk.visit(spec.key, key, inside)
      if bad_key then
        return nil, problem.new(inside, "bad key: " .. bad_key.why, key, bad_key.allowed)
      end
      local item, found = walk.visit(spec.value, rawget(value, key), inside)
      if found then
        return nil, found
      end
      checked[checked_key] = item
    end
    return checked
  end,
}

-- The keys of a record that may be given today.
---@param spec titan.Schema
---@return string
local function usable_keys(spec)
  local names = {}
  for _, name in ipairs(sorted.keys(spec.fields)) do
    if not spec.fields[name].pending then
      names[#names + 1] = name
    end
  end
  return text.enumerated(names, "and")
end

---@param spec titan.Schema
---@param path string of the key
---@param key any one that is not in spec.fields
---@return titan.SchemaProblem
local function unknown_key(spec, path, key)
  local noun, usable = spec.noun or "key", usable_keys(spec)
  if type(key) ~= "string" then
    local why = string.format("every %s is named by a string, not by a %s; allowed: %s",
      noun, type(key), usable)
    return problem.new(path, why, key, usable)
  end
  local help = problem.suggestion(key, sorted.keys(spec.fields)) or "allowed: " .. usable
  return problem.new(path, string.format("unknown %s; %s", noun, help), key, usable)
end

-- The first given key that is in no field, or nil.
---@param fields table<string, titan.Schema>
---@param value table
---@return any key
local function first_unknown(fields, value)
  for key in next, value do
    if not fields[key] then
      for _, candidate in ipairs(sorted.keys(value)) do
        if not fields[candidate] then
          return candidate
        end
      end
    end
  end
end

-- The names of fields in their order, and those that mean something when they are missing: wanted
-- for every value that is checked.
---@type table<table, { names: string[], stands: table<string, boolean> }>
local orders = setmetatable({}, { __mode = "k" })

---@param fields table<string, titan.Schema>
---@param walk titan.SchemaWalk
---@return string[] names
---@return table<string, boolean> stands
local function order_of(fields, walk)
  local order = orders[fields]
  if not order then
    order = { names = sorted.keys(fields), stands = {} }
    for name, field in next, fields do
      order.stands[name] = walk.stands_for(field) or nil
    end
    orders[fields] = order
  end
  return order.names, order.stands
end

containers.table = {
  describe = function()
    return "a table"
  end,
  check = function(spec, value, path, walk, pending)
    if type(value) ~= "table" then
      return nil, problem.unexpected(path, value, walk.describe(spec), true)
    end
    -- Given keys first: a misspelt key explains why a required one is missing.
    local unknown = first_unknown(spec.fields, value)
    if unknown ~= nil then
      return nil, unknown_key(spec, text.join(path, unknown), unknown)
    end
    local checked = {}
    local names, stands = order_of(spec.fields, walk)
    for i = 1, #names do
      local name = names[i]
      local field, given = spec.fields[name], rawget(value, name)
      if given ~= nil or stands[name] then
        local of_ours = given == nil and field.default ~= nil -- in which there is no mistake
        local inside = of_ours and path or text.join(path, name)
        local item, found = walk.visit(field, given, inside, pending)
        if found then
          return nil, found
        end
        checked[name] = item
      end
    end
    return checked
  end,
}

return containers
