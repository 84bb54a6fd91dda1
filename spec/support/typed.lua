--- Compares what definition files say with what there is: a type with a titan.Schema, a class with
--- the keys of a table. What does not fit is a sentence that begins with its path.

local layers = require "titan.config.layers"
local schema = require "titan.schema"
local sorted = require "titan.sorted"

---@class support.Typed
---@field all support.Definitions
---@field problems string[]
---@field defaults table<support.Field, { where: string, specs: titan.Schema[] }> what fields were
--- compared with, until check_defaults
---@field compared table<string, true> classes that were
local Typed = {}
Typed.__index = Typed

---@param path string
---@param why string
---@param ... any
function Typed:complain(path, why, ...)
  table.insert(self.problems, path .. ": " .. why:format(...))
end

-- Types -------------------------------------------------------------------------------------------

-- These stand for a kind of a schema, whatever they are made of.
local UNITS <const> = { ["titan.Duration"] = true, ["titan.Size"] = true }

--- The alternatives of a type with its aliases written out.
---@param of support.Type
---@param into? support.Alternative[]
---@return support.Alternative[]
function Typed:alternatives(of, into)
  into = into or {}
  for _, alternative in ipairs(of) do
    local alias = alternative.kind == "name" and not UNITS[alternative.name]
      and self.all.aliases[alternative.name]
    if alias then
      self:alternatives(alias, into)
    else
      into[#into + 1] = alternative
    end
  end
  return into
end

--- All fields and functions of a class, with those of its parents.
---@param name string
---@return table<string|integer, support.Field>
function Typed:fields(name)
  local class, fields = self.all.classes[name], {}
  for _, parent in ipairs(class.parents) do
    for key, field in pairs(self:fields(parent)) do
      fields[key] = field
    end
  end
  for key, field in pairs(class.fields) do
    fields[key] = field
  end
  return fields
end

-- What an alternative is called when it is compared: the kind of a schema, or a value.
---@param alternative support.Alternative
---@return string
function Typed:label(alternative)
  local kind, name = alternative.kind, alternative.name
  if kind == "literal" then
    return string.format("%q", alternative.value)
  elseif kind == "fun" then
    return "function"
  elseif kind == "name" and self.all.classes[name] then
    return "table"
  elseif kind == "name" and name == "table" then
    return alternative.args and "map" or "any table"
  elseif kind == "name" then
    return name == "titan.Duration" and "duration" or name == "titan.Size" and "size" or name
  end
  return kind == "record" and "table" or kind
end

-- Schemas -----------------------------------------------------------------------------------------

-- By their labels, what may be written today.
---@param spec titan.Schema
---@param into? table<string, titan.Schema>
---@return table<string, titan.Schema>
local function labels_of(spec, into)
  into = into or {}
  if spec.kind == "one_of" then
    for _, alternative in ipairs(spec.of) do
      labels_of(alternative, into)
    end
  elseif spec.kind == "enum" then
    for _, value in ipairs(spec.values) do
      into[string.format("%q", value)] = spec
    end
  else
    into[spec.kind] = spec
  end
  return into
end

---@param path string
---@param labels table<string, titan.Schema>
---@param alternatives support.Alternative[]
---@return table<string, support.Alternative> by label
function Typed:matched(path, labels, alternatives)
  local found = {}
  for _, alternative in ipairs(alternatives) do
    local label = self:label(alternative)
    if label == "boolean" and not labels.boolean and labels["true"] then
      found["true"], found["false"] = alternative, alternative
    elseif type(alternative.value) == "string" and not labels[label] and labels.string then
      found.string = alternative -- a type may know more of a string than its schema
    elseif label ~= "nil" then
      found[label] = found[label] or alternative
    end
  end
  if labels.any then
    return {} -- what it is, no schema says
  end
  for label in pairs(found) do
    if not labels[label] then
      self:complain(path, "the type has %s, which the code does not take", label)
    end
  end
  for label in pairs(labels) do
    if not found[label] then
      self:complain(path, "the code takes %s, which the type does not have", label)
    end
  end
  return found
end

--- A type, and the schema of the same value.
---@param path string
---@param of support.Type
---@param spec titan.Schema
function Typed:compare(path, of, spec)
  local labels = labels_of(spec)
  for label, alternative in pairs(self:matched(path, labels, self:alternatives(of))) do
    local inner = labels[label]
    if inner and label == "list" then
      self:compare(path .. "[]", alternative.of, inner.of)
    elseif inner and label == "map" then
      self:compare(path .. " (key)", alternative.args[1], inner.key)
      self:compare(path .. "[...]", alternative.args[2], inner.value)
    elseif inner and label == "table" and alternative.kind == "name" then
      self:compare_class(path, alternative.name, inner)
    end
  end
end

---@param path string
---@param field support.Field
---@param spec titan.Schema
function Typed:compare_field(path, field, spec)
  if field.optional and spec.required then
    self:complain(path, "the code requires it, the type does not")
  elseif not field.optional and not spec.required then
    self:complain(path, "the type requires it, the code does not")
  end
  if field.text:gsub("%(default: .-%)", "") == "" then
    self:complain(path, "nothing says what it means")
  end
  local known = self.defaults[field] or { where = path, specs = {} }
  self.defaults[field] = known
  table.insert(known.specs, spec)
  self:compare(path, field.type, spec)
end

--- A class, and the schema of the same record.
---@param path string
---@param name string
---@param spec titan.Schema
---@param ignored? table<string, true> keys that others compare
function Typed:compare_class(path, name, spec, ignored)
  if self.comparing[spec] then
    return
  end
  self.comparing[spec], self.compared[name] = true, true
  local fields = self:fields(name)
  for key, field in pairs(fields) do
    local inner = spec.fields[key]
    local is_open = type(key) == "string" and key:find "^%["
    if not inner and not is_open and not (ignored and ignored[key]) then
      self:complain(path .. "." .. key, "%s has it, the code does not", name)
    elseif inner and inner.pending then
      self:complain(path .. "." .. key, "%s has it, and it is not built yet", name)
    elseif inner then
      self:compare_field(path .. "." .. key, field, inner)
    end
  end
  for key, inner in pairs(spec.fields) do
    if not fields[key] and not inner.pending and not (ignored and ignored[key]) then
      self:complain(path .. "." .. key, "the code has it, %s does not", name)
    end
  end
  self.comparing[spec] = nil
end

-- Defaults ----------------------------------------------------------------------------------------

---@param a any
---@param b any
---@return boolean whether both are the same data
local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key in pairs(layers.over(a, b)) do
    if not same(a[key], b[key]) then
      return false
    end
  end
  return true
end

-- Such as { }, which need not be said.
---@param value any
---@return boolean
local function is_said(value)
  return value ~= nil and not (type(value) == "table" and next(value) == nil)
end

--- That the text of each field that was compared says the default of its schema. Of a record that
--- is written over another its schema has none: then that of the other counts.
function Typed:check_defaults()
  for field, known in pairs(self.defaults) do
    local said = field.text:match "%(default: (.-)%)"
    local is_true = false
    for _, spec in ipairs(known.specs) do
      if is_said(spec.default) and not said then
        self:complain(known.where, "the code has the default %s, the text says none",
          tostring(spec.default))
      elseif is_said(spec.default) then
        local value = assert(load("return " .. said))()
        is_true = true
        if not same(schema.check(spec, value, "default"), schema.check(spec, nil, "default")) then
          self:complain(known.where, "the text says the default %s, the code has %s", said,
            tostring(spec.default))
        end
      end
    end
    if said and not is_true then
      self:complain(known.where, "the text says the default %s, the code has none", said)
    end
  end
  self.defaults = {}
end

-- Names -------------------------------------------------------------------------------------------

--- That a function of the code takes what the type says, no more and no less.
---@param path string
---@param declared support.Function
---@param fn function
function Typed:compare_params(path, declared, fn)
  local info, count = debug.getinfo(fn, "uS"), #declared.params
  if info.what == "C" then
    return -- of which nobody knows
  end
  local is_vararg = declared.params[count] == "..."
  count = is_vararg and count - 1 or count
  local taken = math.max(0, info.nparams - (declared.is_method and 1 or 0))
  if is_vararg and not info.isvararg or count > taken and not info.isvararg then
    self:complain(path, "the type has more parameters than the code")
  elseif taken > count or info.isvararg and not is_vararg then
    self:complain(path, "the code has more parameters than the type")
  end
end

--- A class, and the names that something has in the code: both ways.
---@param name string
---@param names table<any, any> by name; those that begin with "_" are nobody's business, unless
--- the type has them
---@param ignored? table<string, true>
function Typed:compare_names(name, names, ignored)
  local class = self.all.classes[name]
  if not class then
    return self:complain(name, "there is no such class")
  end
  self.compared[name] = true
  local known = {}
  for _, list in ipairs { class.fields, class.functions } do
    for key in pairs(list) do
      known[key] = true
      local is_open = type(key) == "string" and key:find "^%["
      if names[key] == nil and not is_open and not (ignored and ignored[key]) then
        self:complain(name .. "." .. key, "the type has it, the code does not")
      end
    end
  end
  for key, declared in pairs(class.functions) do
    if type(names[key]) == "function" then
      self:compare_params(name .. "." .. key, declared, names[key])
    end
  end
  for key in pairs(names) do
    if not known[key] and not tostring(key):find "^_" and not (ignored and ignored[key]) then
      self:complain(name .. "." .. tostring(key), "the code has it, the type does not")
    end
  end
end

--- An alias of strings, and a set of them.
---@param path string
---@param of support.Type
---@param set table<string, any>
function Typed:compare_set(path, of, set)
  local found = {}
  for _, alternative in ipairs(self:alternatives(of)) do
    found[alternative.value or alternative.name] = true
  end
  for _, pair in ipairs { { found, set, "the type" }, { set, found, "the code" } } do
    for value in pairs(pair[1]) do
      if pair[2][value] == nil then
        self:complain(path, "%q is in %s alone", value, pair[3])
      end
    end
  end
end

-- Values ------------------------------------------------------------------------------------------

---@type table<string, fun(value: any): boolean>
local is_a <const> = {
  any = function() return true end,
  integer = function(value) return math.type(value) == "integer" end,
}

---@param value any
---@param alternative support.Alternative
---@param path string
---@return boolean
function Typed:is_value(value, alternative, path)
  local kind, name = alternative.kind, alternative.name
  if kind == "literal" then
    return rawequal(value, alternative.value)
  elseif kind == "fun" then
    return type(value) == "function"
  elseif kind == "name" and is_a[name] then
    return is_a[name](value)
  elseif kind == "name" and not self.all.classes[name] and name ~= "table" then
    return type(value) == name
  elseif type(value) ~= "table" then
    return false
  end
  self:check_inside(value, alternative, path)
  return true
end

---@param value table
---@param alternative support.Alternative
---@param path string
function Typed:check_inside(value, alternative, path)
  if alternative.kind == "list" then
    for index, item in ipairs(value) do
      self:check_value(string.format("%s[%d]", path, index), item, alternative.of)
    end
  elseif alternative.kind == "record" then
    self:check_fields(path, value, alternative.fields)
  elseif alternative.args then
    for key, item in pairs(value) do
      self:check_value(path .. "[" .. tostring(key) .. "]", item, alternative.args[2])
    end
  elseif self.all.classes[alternative.name] then
    self.compared[alternative.name] = true
    self:check_fields(path, value, self:fields(alternative.name))
  end
end

---@param path string
---@param value table
---@param fields table<string, { optional: boolean, type: support.Type }>
function Typed:check_fields(path, value, fields)
  for key in pairs(value) do
    if not fields[key] and not fields["[string]"] then
      self:complain(path .. "." .. tostring(key), "the value has it, the type does not")
    end
  end
  for key, field in pairs(fields) do
    if value[key] ~= nil then
      self:check_value(path .. "." .. key, value[key], field.type)
    elseif not field.optional and not tostring(key):find "^%["
      and self:label(field.type[#field.type]) ~= "nil" then
      self:complain(path .. "." .. key, "the type says it is always there, the value has none")
    end
  end
end

--- A value there is, and the type that it is said to have.
---@param path string
---@param value any
---@param of support.Type|string a type, or the name of one
function Typed:check_value(path, value, of)
  local alternatives = self:alternatives(type(of) == "string" and { { kind = "name", name = of } }
    or of)
  for _, alternative in ipairs(alternatives) do
    if self:is_value(value, alternative, path) then
      return
    end
  end
  self:complain(path, "is %s, which its type does not say", tostring(value))
end

--- What was complained of, as one text.
---@return string
function Typed:story()
  local seen, lines = {}, {}
  for _, problem in ipairs(self.problems) do
    seen[problem] = true
  end
  for _, problem in ipairs(sorted.keys(seen)) do
    lines[#lines + 1] = problem
  end
  self.problems = {}
  return table.concat(lines, "\n")
end

---@param all support.Definitions
---@return support.Typed
return function(all)
  return setmetatable({ all = all, problems = {}, defaults = {}, compared = {}, comparing = {} },
    Typed)
end
