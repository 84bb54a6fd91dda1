--- Plain declarations: a name, a version, `init`, and methods with no annotation but the facts
--- `public`, `health_check` and `on_shutdown`. A look at each key tells, without a schema.

local plain = {}

-- Names that may not be a method's, or may be that only of a private one.
local DOUBTFUL <const> = " and break do else elseif end false for function goto if in local nil "
  .. "not or repeat return then true until while async with "

---@param given any
---@param types table<any, string> of each key that it may have
---@return boolean
local function fits(given, types)
  if type(given) ~= "table" or getmetatable(given) ~= nil then
    return false
  end
  for key, value in next, given do
    if type(value) ~= types[key] then
      return false
    end
  end
  return true
end

---@type table<any, string>
local method_types <const> = {
  "function", public = "boolean", health_check = "boolean", on_shutdown = "boolean",
}

---@param declared any
---@param is_public boolean unless the method says otherwise
---@return titan.Method?
local function plain_method(declared, is_public)
  if type(declared) == "function" then
    return { fn = declared, public = is_public, on_shutdown = false }
  elseif not fits(declared, method_types) or not declared[1] then
    return nil
  end
  if declared.public ~= nil then
    is_public = declared.public
  end
  return {
    fn = declared[1], public = is_public, on_shutdown = declared.on_shutdown or false,
    health_check = declared.health_check,
  }
end

---@param declared table
---@param are_public boolean those that do not say
---@return table<string, titan.Method>? nil when one of them is not plain
---@return string[] names sorted
local function plain_methods(declared, are_public)
  local methods, names = {}, {}
  for name, method in next, declared do
    local checked = type(name) == "string" and name:find "^_?[A-Za-z][A-Za-z0-9_]*$"
      and not DOUBTFUL:find(" " .. name .. " ", 1, true) and plain_method(method, are_public)
    if not checked then
      return nil, names
    end
    methods[name] = checked
    names[#names + 1] = name
  end
  table.sort(names)
  return methods, names
end

---@type table<any, string>
local class_types <const> = {
  name = "string", version = "string", init = "function", methods = "table",
  all_methods_public = "boolean",
}

--- What a declaration says, as a class has it but for its source. Must be what
--- titan.class.declared makes of it.
---@param given any
---@return titan.Class? nil when it is not plain, or not right
function plain.check(given)
  local name = fits(given, class_types) and given.methods and (given.name or "")
  if not name or given.version == "" or given.name and not name:find "^[A-Za-z0-9_.-]+$"
    or #name > 64 then
    return nil
  end
  local methods, names = plain_methods(given.methods, given.all_methods_public or false)
  return methods and {
    kind = "process", name = given.name, version = given.version, init = given.init,
    methods = methods, method_names = names, dependencies = {}, env = {},
  }
end

return plain
