--- Finds the file that a class declaration stands in: the file to load where the class
--- is to run.

local source = {}

---@param path string
---@return string? content
local function content_of(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local content = file:read("a")
  file:close()
  return content
end

-- Lua cannot ask for its working directory. $PWD is nearly always that, but survives a
-- chdir of a program that is no shell; so what it leads to must be the very same text.
---@param path string
---@return string? absolute
local function absolute(path)
  if path:find("^/") then
    return path
  end
  local directory = os.getenv("PWD")
  if not directory or not directory:find("^/") then
    return nil
  end
  local candidate = directory:gsub("/+$", "") .. "/" .. path:gsub("^%./+", "")
  local content = content_of(path)
  return content and content == content_of(candidate) and candidate or nil
end

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

-- Most of a class's functions stand in its own file, though a few may be borrowed.
---@param functions function[]
---@return string|false|nil chunk
local function from_functions(functions)
  local counts, best = {}, nil
  for _, fn in ipairs(functions) do
    local info = debug.getinfo(fn, "S")
    if info.what ~= "C" then
      local file = file_of(info)
      counts[file] = (counts[file] or 0) + 1
    end
  end
  for _, fn in ipairs(functions) do
    local file = file_of(debug.getinfo(fn, "S"))
    if counts[file] and (best == nil or counts[file] > counts[best]) then
      best = file
    end
  end
  return best
end

--- The absolute path of the declaring file; nil when there is none or it cannot be told.
---@param level integer 1 is the caller of the function that calls this one
---@param functions function[] what the declaration holds; asked when the stack cannot tell
---@return string? path
function source.find(level, functions)
  local chunk = from_stack(level)
  if chunk == nil then
    chunk = from_functions(functions)
  end
  return chunk and absolute(chunk) or nil
end

return source
