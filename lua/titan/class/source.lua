--- Finds the file that a class declaration stands in: the file to load where the class
--- is to run.

local core = require "titan.core"

local source = {}

-- Most of a class's functions stand in its own file, though a few may be borrowed. Of two files
-- with as many it is that of the first function.
---@param class titan.Class
---@return string|false|nil chunk
local function from_functions(class)
  local counts, files = {}, {}
  for i = class.init and 0 or 1, #class.method_names do
    local fn = i == 0 and class.init or class.methods[class.method_names[i]].fn
    local file = core.file_of(fn)
    if file ~= nil then
      if not counts[file] then
        files[#files + 1] = file
      end
      counts[file] = (counts[file] or 0) + 1
    end
  end
  local best = files[1]
  for _, file in ipairs(files) do
    if counts[file] > counts[best] then
      best = file
    end
  end
  return best
end

--- The absolute path of the declaring file; nil when there is none or it cannot be told.
---@param level integer 1 is the caller of the function that calls this one
---@param class titan.Class what was declared; asked when the stack cannot tell
---@return string? path
function source.find(level, class)
  -- A module that ends in `return titan.process { ... }` makes a tail call, which leaves
  -- no trace of the module on the stack.
  local chunk = core.file_at(level + 1)
  if chunk == nil then
    chunk = from_functions(class)
  end
  if chunk and chunk:sub(1, 1) ~= "/" then
    return require "titan.class.absolute"(chunk)
  end
  return chunk or nil
end

return source
