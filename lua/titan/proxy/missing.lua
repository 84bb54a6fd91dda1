--- Methods that cannot be called.

local core = require "titan.core"
local errors = require "titan.errors"

local missing = {}

--- A function that only raises: so that `pcall(worker.nonsense, worker)` catches it.
---@param err titan.Error
---@return function
function missing.refusal(err)
  return function()
    error(err, 0)
  end
end

-- The names of the public methods, sorted.
---@param methods table<string, integer|false>
---@return string[]
local function public_names(methods)
  local names = {}
  for name, id in pairs(methods) do
    if id then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

--- Why a method cannot be called, on either side of the wire.
---@param info { name: string?, methods: table<string, integer|false> } the process and its
--- methods (false: private)
---@param name string|integer a number that stands for none
---@return titan.Error
function missing.error(info, name)
  local fields = { process = info.name, method = name }
  if info.methods[name] == false then
    return errors.new("not_public", string.format("%s is private; declare it with public = true "
      .. "to call it from outside", name), fields)
  end
  local names = public_names(info.methods)
  local nearest = type(name) == "string" and core.suggest(name, names)
  local known = #names > 0 and "it has " .. table.concat(names, ", ")
    or "it has no public methods"
  local hint = nearest and string.format("did you mean %s?", nearest) or known
  return errors.new("method_not_found", string.format("there is no method %s; %s", name, hint),
    fields)
end

--- The same, inside of a worker.
---@param class titan.Class
---@param name string|integer
---@return titan.Error
function missing.of_class(class, name)
  local methods = {}
  for i, method in ipairs(class.method_names) do
    methods[method] = class.methods[method].public and i
  end
  return missing.error({ methods = methods }, name)
end

return missing
