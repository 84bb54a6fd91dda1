--- What tests of a program written with Titan need: workers without processes, and a clock that
--- moves when it is told to. None of it is loaded before it is asked for.

local testing = {}

--- Stands in for what spawns processes: see titan.testing.spawner.
---@param options? table
---@return titan.MockSpawner
function testing.mock_spawner(options)
  return require("titan.testing.spawner").new(options)
end

--- Holds the clock of this process until it is closed: see titan.testing.clock.
---@return titan.VirtualClock
function testing.virtual_clock()
  return require("titan.testing.clock").new()
end

return testing
