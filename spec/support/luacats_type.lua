--- Reads a LuaCATS type: `string|number|false`, `table<string, fun(a: integer): boolean>`.
--
-- What it makes of one is a list of alternatives, each a table with a `kind`:
-- `name` (name, args), `literal` (value), `fun` (params, returns), `record` (fields), `list` (of),
-- `dots`. An optional type has nil among its alternatives.

local luacats_type = {}

---@class support.Alternative
---@field kind "name"|"literal"|"fun"|"record"|"list"|"dots"
---@field name? string
---@field args? support.Type[]
---@field value? any
---@field params? { name: string, optional: boolean, type: support.Type? }[]
---@field returns? support.Type[]
---@field fields? table<string, { optional: boolean, type: support.Type }>
---@field of? support.Type

---@alias support.Type support.Alternative[]

---@class support.Reader
---@field text string
---@field at integer
local Reader = {}
Reader.__index = Reader

---@param pattern string
---@return string? what is there, which is then behind the reader
function Reader:take(pattern)
  local first, last, captured = self.text:find("^%s*(" .. pattern .. ")", self.at)
  if not first then
    return nil
  end
  self.at = last + 1
  return captured
end

---@param pattern string
function Reader:need(pattern)
  local found = self:take(pattern)
  return found or error(string.format("expected %s at %q", pattern, self.text:sub(self.at)), 0)
end

-- `name?: type`, `...: type` up to the closing sign.
---@param closing string
---@return { name: string, optional: boolean, type: support.Type? }[]
function Reader:members(closing)
  local members = {}
  while not self:take(closing) do
    local name = self:take "%.%.%." or self:need "[%a_][%w_]*"
    local optional = self:take "%?" ~= nil
    members[#members + 1] = {
      name = name, optional = optional, type = self:take ":" and self:type() or nil,
    }
    self:take ","
  end
  return members
end

---@return support.Type[]
function Reader:returns()
  local returns = {}
  if self:take ":" then
    repeat
      self:take "[%a_][%w_]*%s*:" -- a result's name
      returns[#returns + 1] = self:type()
    until not self:take ","
  end
  return returns
end

---@return support.Type
function Reader:unit()
  if self:take "%(" then
    local inner = self:type()
    self:need "%)"
    return inner
  elseif self:take "fun%s*%(" then
    local params = self:members "%)"
    return { { kind = "fun", params = params, returns = self:returns() } }
  elseif self:take "{" then
    local fields = {}
    for _, member in ipairs(self:members "}") do
      fields[member.name] = member
    end
    return { { kind = "record", fields = fields } }
  elseif self:take "%.%.%." then
    return { { kind = "dots" } }
  end
  local quoted = self:take '"[^"]*"'
  local number = not quoted and self:take "%-?%d+"
  if quoted or number then
    return { { kind = "literal", value = quoted and quoted:sub(2, -2) or tonumber(number) } }
  end
  local name = self:need "[%a_][%w_.]*"
  if name == "true" or name == "false" then
    return { { kind = "literal", value = name == "true" } }
  end
  local args
  if self.text:sub(self.at, self.at) == "<" then
    self.at, args = self.at + 1, {}
    repeat
      args[#args + 1] = self:type()
    until not self:take ","
    self:need ">"
  end
  return { { kind = "name", name = name, args = args } }
end

---@return support.Type
function Reader:type()
  local alternatives = {}
  repeat
    local unit = self:unit()
    while self.text:sub(self.at, self.at + 1) == "[]" do
      self.at = self.at + 2
      unit = { { kind = "list", of = unit } }
    end
    if self.text:sub(self.at, self.at) == "?" then
      self.at = self.at + 1
      unit[#unit + 1] = { kind = "name", name = "nil" }
    end
    table.move(unit, 1, #unit, #alternatives + 1, alternatives)
  until not self:take "|"
  return alternatives
end

--- The type that a text begins with, and what follows it.
---@param text string
---@return support.Type
---@return string rest
function luacats_type.read(text)
  local reader = setmetatable({ text = text, at = 1 }, Reader)
  local read = reader:type()
  return read, (text:sub(reader.at):gsub("^%s+", ""))
end

--- Calls `fn` with every name in a type.
---@param of support.Type
---@param fn fun(name: string)
function luacats_type.each_name(of, fn)
  for _, alternative in ipairs(of) do
    if alternative.kind == "name" then
      fn(alternative.name)
    end
    local inside = { alternative.of }
    for _, list in ipairs { alternative.args or {}, alternative.returns or {} } do
      table.move(list, 1, #list, #inside + 1, inside)
    end
    for _, member in pairs(alternative.params or alternative.fields or {}) do
      inside[#inside + 1] = member.type
    end
    for _, inner in ipairs(inside) do
      luacats_type.each_name(inner, fn)
    end
  end
end

return luacats_type
