--- A method's function with its annotations around it.

local composed = {}

---@param method titan.Method
---@param which "wrap"|"wrap_inside"|"wrap_entry"
---@param fn titan.MethodFn
---@param place titan.Place
---@return titan.MethodFn
local function wrapped(method, which, fn, place)
  for i = #method.layers, 1, -1 do
    local layer = method.layers[i]
    if layer.annotation[which] then
      fn = layer.annotation[which](fn, layer.value, place)
    end
  end
  return fn
end

--- The function of a method in this process, as its own class calls it, and as others do: the very
--- one that was declared when it has no annotation that wraps.
---@param method titan.Method
---@param place titan.Place
---@return titan.MethodFn inside
---@return titan.MethodFn entry
function composed.of(method, place)
  if not method.layers then
    return method.fn, method.fn
  end
  local inside = wrapped(method, "wrap", wrapped(method, "wrap_inside", method.fn, place), place)
  return inside, wrapped(method, "wrap_entry", inside, place)
end

--- Those of a whole class.
---@param class titan.Class
---@param process string the name of the process
---@param scope string
---@return table<string, titan.MethodFn> inside
---@return table<string, titan.MethodFn> entries
function composed.all(class, process, scope)
  local inside, entries = {}, {}
  for _, name in ipairs(class.method_names) do
    inside[name], entries[name] = composed.of(class.methods[name], {
      class = class.name or process, method = name, process = process, scope = scope,
    })
  end
  return inside, entries
end

return composed
