--- A method's function with its annotations around it.

local composed = {}

---@param method titan.Method
---@param which "wrap"|"wrap_inside"
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

--- The function that serves the method in this process: the very one that was declared when it
--- has no annotation that wraps.
---@param method titan.Method
---@param place titan.Place
---@return titan.MethodFn
function composed.of(method, place)
  if not method.layers then
    return method.fn
  end
  return wrapped(method, "wrap", wrapped(method, "wrap_inside", method.fn, place), place)
end

--- Those of a whole class.
---@param class titan.Class
---@param process string the name of the process
---@param scope string
---@return table<string, titan.MethodFn> served what requests are answered with
---@return table<string, titan.MethodFn> own what the process calls on itself: a stream it can take
--- from its own hands
function composed.all(class, process, scope)
  local served, own = {}, {}
  for _, name in ipairs(class.method_names) do
    local method = class.methods[name]
    served[name] = composed.of(method, {
      class = class.name or process, method = name, process = process, scope = scope,
    })
    own[name] = method.stream and method.fn or served[name]
  end
  return served, own
end

return composed
