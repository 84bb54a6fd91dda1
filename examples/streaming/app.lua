-- Takes a large file line by line from a worker: at full speed, slowly, and not to its end.
--
-- usage: titan run app.lua [MIB]     (of the file, which it makes; default: 16)
local luv = require "luv"
local titan = require "titan"

local MIB <const> = 1 << 20
local size = (math.tointeger(arg[1]) or 16) * MIB

local function make_file()
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  local line = ("every line is as good as any other "):rep(12) .. "\n"
  local block = line:rep(1000)
  for _ = 1, size // #block do
    file:write(block)
  end
  file:close()
  return path, size // #block * 1000
end

local path, lines = make_file()
local scanner = titan.manager():spawn "scanner"
print(string.format("a file of %d MiB, %d lines", size // MIB, lines))

-- At full speed.
local started, taken, bytes = luv.hrtime(), 0, 0
for number, line in scanner:lines(path) do
  taken, bytes = number, bytes + #line
end
local seconds = (luv.hrtime() - started) / 1e9
print(string.format("all of it: %d lines in %.2f s, %.0f lines a second, %.0f MiB a second", taken,
  seconds, taken / seconds, bytes / MIB / seconds))

-- A slow reader holds the worker back: it reads ahead by a window of 4 MiB and not further.
-- Leaving the loop ends the stream, and closes the file over there.
for number in scanner:lines(path) do
  if number % 10 == 0 then
    titan.sleep(10)
  end
  if number == 100 then
    print(string.format("a slow reader at line %d: the worker has read %.1f MiB, %d file open",
      number, scanner:progress() / MIB, (select(2, scanner:progress()))))
    break
  end
end
print(string.format("out of the loop: %d files open", (select(2, scanner:progress()))))

-- Several at once are one `titan.all`, as always; and an error comes where the items end.
local function count()
  local n = 0
  for _ in scanner:lines(path) do
    n = n + 1
  end
  return n
end
local results = titan.all { titan.go(count), scanner.async:count(path) }
print(string.format("taken here: %d lines, counted there meanwhile: %d", results[1], results[2]))

local ok, err = pcall(scanner.lines, scanner, path .. ".gone")
print("no such file: " .. (ok and "an iterator?" or err.code))
os.remove(path)
