--- Reads definition files: their classes, aliases and functions, with what their comments say.

local luacats_type = require "support.luacats_type"

local luacats = {}

---@class support.Field
---@field optional boolean
---@field type support.Type
---@field text string what is said of it

---@class support.Function
---@field params string[] as they are in the code
---@field declared { name: string, optional: boolean, type: support.Type }[]
---@field returns support.Type[]
---@field overloads support.Type[]
---@field text string
---@field is_method boolean

---@class support.Class
---@field name string
---@field parents string[]
---@field fields table<string|integer, support.Field>
---@field functions table<string, support.Function>
---@field text string

---@class support.Definitions
---@field classes table<string, support.Class>
---@field aliases table<string, support.Type>
---@field used { name: string, where: string }[] every name of a type
---@field problems string[] what cannot be read, or does not go together

---@class support.FileReader what is being read
---@field all support.Definitions
---@field where string file and line
---@field lines string[] of text that belong to what comes next
---@field class? support.Class whose fields come
---@field last_alias? string
---@field pending? support.Function the comments of the function that comes
---@field by_local table<string, support.Class>
---@field is_fresh boolean whether the next `local` is the class
local FileReader = {}
FileReader.__index = FileReader

---@param text string
---@return support.Type
---@return string rest
function FileReader:type(text)
  local read, rest = luacats_type.read(text)
  luacats_type.each_name(read, function(name)
    table.insert(self.all.used, { name = name, where = self.where })
  end)
  return read, rest
end

---@param rest? string
---@return string
function FileReader:take_text(rest)
  local lines = self.lines
  self.lines = {}
  if rest and rest ~= "" then
    lines[#lines + 1] = rest
  end
  return table.concat(lines, " ")
end

---@param why string
---@param ... any
function FileReader:complain(why, ...)
  table.insert(self.all.problems, self.where .. ": " .. why:format(...))
end

---@return support.Function
function FileReader:coming()
  self.pending = self.pending
    or { params = {}, declared = {}, returns = {}, overloads = {}, text = self:take_text() }
  return self.pending
end

-- One function a tag.
---@type table<string, fun(self: support.FileReader, rest: string)>
local tags = {}

tags["class"] = function(self, rest)
  local name, parents = rest:match "^([%w_.]+):?%s*(.*)$"
  if self.all.classes[name] then
    self:complain("%s is there twice", name)
  end
  self.class = { name = name, parents = {}, fields = {}, functions = {}, text = self:take_text() }
  for parent in parents:gmatch "[%w_.]+" do
    table.insert(self.class.parents, parent)
    table.insert(self.all.used, { name = parent, where = self.where })
  end
  self.all.classes[name], self.is_fresh = self.class, true
end

tags["field"] = function(self, rest)
  local key, optional, behind = rest:match "^([%a_][%w_]*)(%??)%s+(.*)$"
  if not key then
    key, behind = rest:match "^%[(.-)%]%s+(.*)$"
    key = tonumber(key) or "[" .. key .. "]"
  end
  local of, text = self:type(behind)
  if self.class.fields[key] then
    self:complain("%s.%s is there twice", self.class.name, key)
  end
  self.class.fields[key] = { optional = optional == "?", type = of, text = self:take_text(text) }
end

tags["alias"] = function(self, rest)
  local name, behind = rest:match "^([%w_.]+)%s*(.*)$"
  if self.all.aliases[name] then
    self:complain("%s is there twice", name)
  end
  self.all.aliases[name] = behind == "" and {} or self:type(behind)
  self.last_alias, self.lines = name, {}
end

tags["param"] = function(self, rest)
  local name, optional, behind = rest:match "^([%w_.]+)(%??)%s+(.*)$"
  local fn = self:coming()
  table.insert(fn.declared, {
    name = name, optional = optional == "?", type = self:type(behind),
  })
end

tags["return"] = function(self, rest)
  local fn = self:coming()
  table.insert(fn.returns, (self:type(rest)))
end

tags["overload"] = function(self, rest)
  local fn = self:coming()
  table.insert(fn.overloads, (self:type(rest)))
end

tags["generic"] = function(self, rest)
  self:coming()
  for name in rest:gmatch "[%w_.]+" do
    self.all.generics[name] = true
  end
end

tags["type"] = function(self, rest)
  self:type(rest)
end

tags["meta"] = function() end
tags["nodiscard"] = function(self)
  self:coming()
end

---@param fn support.Function
---@param name string
function FileReader:check_params(fn, name)
  for index = 1, math.max(#fn.params, #fn.declared) do
    local declared = fn.declared[index]
    if fn.params[index] ~= (declared and declared.name) then
      self:complain("%s: parameter %d is %s in the code and %s in the comment", name, index,
        fn.params[index], declared and declared.name)
    end
  end
end

---@param line string
function FileReader:code(line)
  local variable = line:match "^local ([%a_][%w_]*) = {"
  if variable and self.is_fresh then
    self.by_local[variable] = self.class
  end
  local owner, sign, name, params = line:match "^function ([%w_]+)([.:])([%w_]+)%((.-)%) end$"
  if owner then
    local class, fn = self.by_local[owner], self:coming()
    for param in params:gmatch "[%w_.]+" do
      table.insert(fn.params, param)
    end
    fn.is_method = sign == ":"
    self:check_params(fn, owner .. sign .. name)
    if fn.text == "" then
      self:complain("%s%s%s: nothing says what it does", owner, sign, name)
    end
    class.functions[name] = fn
  elseif not variable and line ~= "" and not line:find "^return " and not line:find "^%-%- "
    and line ~= "--" then
    self:complain("a line that is neither a comment nor a function: %s", line)
  end
  self.pending, self.lines, self.class, self.last_alias, self.is_fresh = nil, {}, nil, nil, false
end

---@param line string
function FileReader:line(line)
  local tag, rest = line:match "^%-%-%-@(%w+)%s*(.*)$"
  local choice = line:match "^%-%-%-|%s*(.*)$"
  if tag then
    if not tags[tag] then
      return self:complain("a tag of no use here: @%s", tag)
    end
    local ok, why = pcall(tags[tag], self, rest)
    if not ok then
      self:complain("%s", why)
    end
  elseif choice then
    local read = self:type(choice)
    local alias = self.all.aliases[self.last_alias]
    table.move(read, 1, #read, #alias + 1, alias)
  elseif line:find "^%-%-%-" then
    table.insert(self.lines, (line:gsub("^%-%-%-%s?", "")))
  else
    self:code(line)
  end
end

--- Reads files, which may use each other's types.
---@param files string[]
---@return support.Definitions
function luacats.read(files)
  local all = { classes = {}, aliases = {}, used = {}, problems = {}, generics = {} }
  for _, file in ipairs(files) do
    local reader = setmetatable({ all = all, lines = {}, by_local = {} }, FileReader)
    local number = 0
    for line in io.lines(file) do
      number = number + 1
      reader.where = string.format("%s:%d", file:match "[^/]+$", number)
      reader:line(line)
    end
  end
  return all
end

return luacats
