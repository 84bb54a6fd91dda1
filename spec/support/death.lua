--- Dying at once, without a word, as far as what a worker lives in lets it: a process is killed; on
--- a thread a signal would end the whole program, so that one exits, as a killed one would in a shell.

local luv = require "luv"

local death = {}

-- The kernel names the process, then the thread.
local function is_on_a_thread()
  local process, thread = assert(luv.fs_readlink "/proc/thread-self"):match "^(%d+)/task/(%d+)$"
  return process ~= thread
end

function death.now()
  if is_on_a_thread() then
    os.exit(137)
  end
  luv.kill(luv.os_getpid(), "sigkill")
end

return death
