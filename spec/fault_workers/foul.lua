--- Has its hands on its own connections to the manager.

local luv = require "luv"
local titan = require "titan"

-- The connections are the only sockets of a worker: first data, then control.
---@return integer data
---@return integer control
local function connections()
  local sockets = {}
  for fd = 3, 64 do
    local stat = luv.fs_readlink("/proc/self/fd/" .. fd)
    if stat and stat:find "^socket:" then
      sockets[#sockets + 1] = fd
    end
  end
  assert(#sockets == 2, "a worker has two sockets")
  return sockets[1], sockets[2]
end

---@param channel "data"|"control"
---@param bytes string
local function write(channel, bytes)
  local data, control = connections()
  repeat
    local written = luv.fs_write(channel == "data" and data or control, bytes)
    bytes = bytes:sub((written or 0) + 1)
  until bytes == ""
end

return titan.process {
  name = "foul",
  all_methods_public = true,
  -- What is to be written before it is ready.
  init = function(_, options)
    if options.bytes then
      write("control", options.bytes)
      if options.exits then
        os.exit(1)
      end
      titan.sleep "1h"
    end
  end,
  methods = {
    echo = function(_, ...)
      return ...
    end,
    -- What is written goes out before the answers of this turn.
    write = function(_, channel, bytes)
      write(channel, bytes)
      titan.sleep "1h"
    end,
    write_and_exit = function(_, channel, bytes)
      write(channel, bytes)
      os.exit(0)
    end,
    close = function()
      local data, control = connections()
      luv.fs_close(data)
      luv.fs_close(control)
      while true do
        luv.sleep(1000)
      end
    end,
  },
}
