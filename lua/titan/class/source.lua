--- Finds the file that a class declaration stands in: the file to load where the class
--- is to run.

local source = {}

---@param info { source: string, what: string }
---@return string|false chunk the path of a file; false for code that came from none
local function file_of(info)
  return info.source:match("^@(.+)$") or false
end

-- A module that ends in `return titan.process { ... }` makes a tail call, which leaves
-- no trace of the module on the stack.
---@param level integer 1 is the caller of the function that called `source.find`
---@return string|false|nil chunk false: code without a file; nil: the stack cannot tell
local function from_stack(level)
  -- The frames: 1 this function, 2 source.find, 3 its caller, 4 and up the levels.
  for frame = 3, level + 2 do
    local info = debug.getinfo(frame, "t")
    if not info or info.istailcall then
      return nil
    end
  end
  local info = debug.getinfo(level + 3, "S")
  if not info or info.what == "C" then
    return nil
  end
  return file_of(info)
end

-- Most of a class's functions stand in its own file, though a few may be borrowed. Of two files
-- with as many it is that of the first function.
---@param class titan.Class
---@return string|false|nil chunk
local function from_functions(class)
  local counts, files = {}, {}
  for i = class.init and 0 or 1, #class.method_names do
    local fn = i == 0 and class.init or class.methods[class.method_names[i]].fn
    local info = debug.getinfo(fn, "S")
    if info.what ~= "C" then
      local file = file_of(info)
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
  local chunk = from_stack(level)
  if chunk == nil then
    chunk = from_functions(class)
  end
  if chunk and chunk:sub(1, 1) ~= "/" then
    return require "titan.class.absolute"(chunk)
  end
  return chunk or nil
end

return source
