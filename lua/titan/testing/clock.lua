--- A clock under the test's hand: `local clock <close> = titan.testing.virtual_clock()`.
--
-- While it lives, no time passes in this process but by `advance`, `run_until_idle` and `set_wall`:
-- for titan.sleep and titan.timeout, the deadlines of calls, restarts, health checks, pools,
-- supervisors, and for whatever asks core.monotonic_ms and core.now_ms. When it is closed, time
-- goes on from where it stands (the wall clock is what it is again).
--
-- Worker processes have clocks of their own, which this one does not touch; so have luv's timers,
-- os.time and os.clock. What is measured of processes (their uptime, how long calls took in them)
-- is real time.

local core = require "titan.core"
local errors = require "titan.errors"
local schema = require "titan.schema"

local clock = {}

---@class titan.VirtualClock
---@field package moving? boolean
---@field package closed? boolean
local Clock = {}
Clock.__index = Clock
Clock.__name = "titan.VirtualClock"

local IDLE_MAX <const> = "1h"

---@param self titan.VirtualClock
local function check_open(self)
  if self.closed then
    errors.raise("destroyed", "the virtual clock has been closed")
  end
end

-- Two that move it would each see the other's time pass.
---@param self titan.VirtualClock
---@return table to be closed
local function moving(self)
  check_open(self)
  core.current()
  if self.moving then
    errors.raise("invalid_config", "another task is moving the virtual clock")
  end
  self.moving = true
  return setmetatable({}, {
    __close = function()
      self.moving = nil
    end,
  })
end

-- Lets everything run that can before time passes.
local function settle()
  core.clock_settle()
  repeat
    core.park()
  until core.clock_settled()
end

--- What core.monotonic_ms says: ms since nobody knows when.
---@return integer
function Clock:now()
  check_open(self)
  return math.tointeger(core.monotonic_ms())
end

--- What core.now_ms says: ms since 1970.
---@return integer
function Clock:wall()
  check_open(self)
  return core.now_ms()
end

--- Sets the wall clock, forwards or back. No timer fires for that.
---@param ms integer since 1970
function Clock:set_wall(ms)
  check_open(self)
  core.clock_set_wall(schema.check({ kind = "integer", required = true, min = 0 }, ms,
    "set_wall.ms"))
end

--- Lets so much time pass. Everything that is due meanwhile fires in order, each at its own time,
--- and what it wakes runs until it waits again. Returns when nothing is left to do at the new time.
---@param duration number|string ms, or "250ms", "30s", "5m", "1h"
function Clock:advance(duration)
  local ms = schema.check({ kind = "duration", required = true }, duration, "advance.duration")
  local _ <close> = moving(self)
  local target = self:now() + ms
  settle()
  local next_ms = core.clock_next()
  while next_ms and next_ms <= target do
    core.clock_move(next_ms)
    settle()
    next_ms = core.clock_next()
  end
  core.clock_move(target)
end

--- Lets time pass until no task waits for it any more, for so long at the most. What Titan does now
--- and then by itself (health checks, sweeps) is nothing to wait for.
---@param max? number|string default one hour
---@return boolean idle false: when the time was over, tasks still waited for a later one
---@return integer ms that passed
function Clock:run_until_idle(max)
  local ms = schema.check({ kind = "duration", default = IDLE_MAX }, max, "run_until_idle.max")
  local _ <close> = moving(self)
  local start = self:now()
  settle()
  local next_ms, awaited = core.clock_next()
  while next_ms and awaited and next_ms - start <= ms do
    core.clock_move(next_ms)
    settle()
    next_ms, awaited = core.clock_next()
  end
  local idle = not (next_ms and awaited)
  if not idle then
    core.clock_move(start + ms)
  end
  return idle, self:now() - start
end

--- Lets time go on by itself.
function Clock:close()
  if not self.closed then
    self.closed = true
    core.clock_release()
  end
end

Clock.__close = Clock.close
Clock.__gc = Clock.close

--- Holds the clock. There is only one at a time.
---@return titan.VirtualClock
function clock.new()
  if not core.clock_hold() then
    errors.raise("invalid_config", "titan.testing.virtual_clock: there is one already; close it "
      .. "first (local clock <close> = ...)")
  end
  return setmetatable({}, Clock)
end

return clock
