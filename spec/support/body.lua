--- What a worker lives in, told from the inside.

local luv = require "luv"

local body = {}

-- The kernel names the process, then the thread.
local function is_on_a_thread()
  local process, thread = assert(luv.fs_readlink "/proc/thread-self"):match "^(%d+)/task/(%d+)$"
  return process ~= thread
end

--- Dies at once, without a word, as far as can be: on a thread a signal would end the whole
--- program, so that one exits, as what was killed does in a shell.
function body.die()
  if is_on_a_thread() then
    os.exit(137)
  end
  luv.kill(luv.os_getpid(), "sigkill")
end

--- What tells a worker from all others that live: the number of its process, or, on a thread, that
--- of its Lua state, which the kernel knows nothing of.
---@return integer
function body.identity()
  if is_on_a_thread() then
    return math.tointeger(tonumber(tostring(_G):match "0x%x+"))
  end
  return math.tointeger(luv.os_getpid())
end

return body
