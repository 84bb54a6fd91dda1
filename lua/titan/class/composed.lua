--- A method's function with its annotations around it.

local composed = {}

---@param layer { annotation: titan.Annotation, value: any }
---@param which "wrap"|"wrap_inside"|"wrap_entry"
---@param fn titan.MethodFn
---@param place titan.Place
---@return titan.MethodFn
local function wrapped(layer, which, fn, place)
  local wrap = layer.annotation[which]
  return wrap and wrap(fn, layer.value, place) or fn
end

--- The function of a method in this process, as its own class calls it, and as others do.
---@param method titan.Method one with annotations that wrap
---@param place titan.Place
---@return titan.MethodFn inside
---@return titan.MethodFn entry
local function composed_of(method, place)
  local layers, inside = method.layers, method.fn
  for _, which in ipairs { "wrap_inside", "wrap" } do
    for i = #layers, 1, -1 do
      inside = wrapped(layers[i], which, inside, place)
    end
  end
  local entry = inside
  if method.stream then
    inside = method.fn -- without a caller to send items to: what was declared
  end
  for i = 1, #layers do
    entry = wrapped(layers[i], "wrap_entry", entry, place)
  end
  return inside, entry
end

--- The functions of a class: the very ones that were declared where no annotation wraps them.
---@param class titan.Class
---@param process string the name of the process
---@param scope string
---@return table<string, titan.MethodFn> inside
---@return table<string, titan.MethodFn> entries
function composed.all(class, process, scope)
  local inside, entries = {}, {}
  for _, name in ipairs(class.method_names) do
    local method = class.methods[name]
    if method.layers then
      inside[name], entries[name] = composed_of(method, {
        class = class.name or process, method = name, process = process, scope = scope,
        stream = method.stream == true,
      })
    else
      inside[name], entries[name] = method.fn, method.fn
    end
  end
  return inside, entries
end

return composed
