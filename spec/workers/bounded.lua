-- Uses more than it may, in all the ways there are.

local luv = require "luv"
local titan = require "titan"

local MB <const> = 1 << 20

local kept = {}

local function fill(list)
  while true do
    list[#list + 1] = string.rep("x", 128 * 1024) .. #list
  end
end

-- Memory that is not the Lua heap's: of reads whose end nobody hears.
local function read_much(mb)
  local zero = assert(luv.fs_open("/dev/zero", "r", 0))
  for _ = 1, mb do -- a read of more may be cut short
    luv.fs_read(zero, MB, -1, function() end)
  end
  repeat until false
end

return titan.process {
  all_methods_public = true,
  methods = {
    ping = function(_, value)
      return value
    end,
    fill = function()
      fill {}
    end,
    fill_and_catch = function()
      local ok, err = pcall(fill, {})
      return ok, err
    end,
    raise_again = function()
      local _, err = pcall(fill, {})
      error(err, 0)
    end,
    hoard = function()
      pcall(fill, kept)
      return #kept
    end,
    let_go = function()
      kept = {}
    end,
    read_much = function(_, mb)
      read_much(mb)
    end,
    feed_child = function(_, mb)
      local _, _, code = os.execute(string.format(
        "head -c %dM /dev/zero | tail -c %dM >/dev/null", mb, mb))
      return code
    end,
    burn = function(_, ms)
      local wall, cpu = luv.hrtime(), os.clock()
      repeat until luv.hrtime() - wall > ms * 1e6
      return (os.clock() - cpu) / ((luv.hrtime() - wall) / 1e9)
    end,
    burn_for_ever = function()
      repeat until false
    end,
    open_files = function(_, count)
      local files = {}
      for i = 1, count do
        local file, why = io.open "/dev/null"
        if not file then
          return i - 1, why
        end
        files[i] = file
      end
      return #files
    end,
    write = function(_, path, bytes)
      local file <close> = assert(io.open(path, "w"))
      file:write(string.rep("x", bytes))
      file:flush()
    end,
    limits = function()
      local file <close> = assert(io.open "/proc/self/limits")
      return file:read "a"
    end,
    die = function()
      os.exit(3)
    end,
    start_child = function()
      local child = assert(io.popen "setsid sleep 600 & echo $!")
      return child:read "n"
    end,
  },
}
