-- The same worker as a process, as a thread of its own, and by turns with others on a few threads:
-- what a start and a call take, a picture handed over in shared memory, and a loop without end.
--
-- usage: titan run app.lua [CALLS]     (to be timed of each; default: 2000)
local luv = require "luv"
local titan = require "titan"

local CALLS <const> = math.tointeger(arg[1]) or 2000
local WIDTH <const>, HEIGHT <const> = 256, 256

local pm = titan.manager()

local function microseconds(fn, times)
  local started = luv.hrtime()
  for _ = 1, times do
    fn()
  end
  return (luv.hrtime() - started) / 1000 / times
end

-- A picture that is brighter from left to right, in memory that others can be given.
local function gradient()
  local row = {}
  for x = 0, WIDTH - 1 do
    row[x + 1] = string.char(x)
  end
  return titan.buffer(table.concat(row):rep(HEIGHT))
end

local function show(isolation)
  local worker
  local start = microseconds(function()
    worker = pm:spawn("thumbs", { name = "thumbs-" .. isolation, isolation = isolation })
  end, 1)
  local call = microseconds(function()
    worker:nothing()
  end, CALLS)
  local pid = worker:whereabouts()
  print(string.format("%-8s %s process; starts in %.0f us, is called in %.1f us", isolation,
    pid == luv.os_getpid() and "this" or "another", start, call))

  -- The buffer is not sent, but the right to use it: as a descriptor, or as a reference.
  local picture <close> = gradient()
  worker:halve(picture, WIDTH, HEIGHT)
  print(string.format("  halved where it lies: its first pixels were 0 1 2 3, now %d %d %d %d",
    picture:byte(1), picture:byte(2), picture:byte(3), picture:byte(4)))

  -- What computes for ever is interrupted when its time is over; its worker goes on.
  local hurried = worker:with { timeout = "50ms" }
  local _, err = pcall(hurried.ponder, hurried)
  local _, asked = worker:whereabouts()
  print(string.format("  a loop without end: %s; the worker lives, and is asked for the %d. time",
    err.code, asked))
end

for _, isolation in ipairs { "process", "worker", "thread" } do
  show(isolation)
end
