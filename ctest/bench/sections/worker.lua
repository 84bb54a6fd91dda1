--- isolation = "worker": a thread of its own in this process.

local calling = require "calling"
local measuring = require "measuring"

return {
  config = function()
    return { isolation = "worker" }
  end,
  run = function(pm, size)
    measuring.report_latency("worker", "spawn", measuring.sample(20, size.spawns, function()
      return calling.spawn_once(pm)
    end))
    local worker = calling.spawn_and_call(pm)
    local took = measuring.sample(size.warm_up, size.round_trips, function()
      worker:add(1, 2)
    end)
    measuring.report_latency("worker", "call", took)
    measuring.report("worker", "throughput", {
      in_flight = calling.IN_FLIGHT, per_s = calling.rate({ worker }, size.seconds),
    })
  end,
}
