--- Sleeping, for who needs no more of tasks.

local core = require "titan.core"

local pause = {}

local DAY <const> = 24 * 60 * 60 * 1000 -- ms

--- A duration. Most are a number of milliseconds, which needs no schema.
---@param duration any
---@param where string
---@return integer ms
function pause.ms_of(duration, where)
  if math.type(duration) == "integer" and duration >= 0 and duration <= DAY then
    return duration
  end
  return require("titan.schema").check({ kind = "duration", required = true }, duration, where)
end

--- Suspends the task.
---@param duration number|string ms, or "250ms", "30s", "5m", "1h"
function pause.sleep(duration)
  core.sleep(pause.ms_of(duration, "titan.sleep"))
end

return pause
