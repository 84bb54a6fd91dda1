--- What the operating system says of this program and of others.

local system = {}

---@param path string
---@return string? content
local function content_of(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local content = file:read "a"
  file:close()
  return content
end

---@return integer pid of this process
function system.pid()
  return math.tointeger(tonumber(content_of("/proc/self/stat"):match "^%d+"))
end

--- How many descriptors this process has open.
---@return integer
function system.descriptors()
  local luv = require "luv"
  local scan, count = assert(luv.fs_scandir "/proc/self/fd"), 0
  while luv.fs_scandir_next(scan) do
    count = count + 1
  end
  return count
end

--- The children of this process, zombies included.
---@return integer[] pids
function system.children()
  local pids = {}
  for pid in content_of("/proc/self/task/" .. system.pid() .. "/children"):gmatch "%d+" do
    pids[#pids + 1] = math.tointeger(tonumber(pid))
  end
  return pids
end

--- Whether there is such a process; a zombie is none.
---@param pid integer
---@return boolean
function system.alive(pid)
  local stat = content_of("/proc/" .. pid .. "/stat")
  return stat ~= nil and not stat:find "%) [ZX] "
end

return system
