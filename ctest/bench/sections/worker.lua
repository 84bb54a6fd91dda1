--- isolation = "worker": a thread of its own in this process.

local calling = require "calling"
local measuring = require "measuring"
local titan = require "titan"

local SPIN_US <const> = 50 -- several times what an answer takes

-- One call after the other.
local function report_calls(mode, worker, size)
  measuring.report_latency("worker", mode,
    measuring.sample(size.warm_up, size.round_trips, function()
      worker:add(1, 2)
    end))
end

local function with_the_spin(size)
  local pm = titan.manager {
    isolation = "worker", advanced = { spin_us = SPIN_US }, logs = { format = "none" },
  }
  report_calls("spinning", calling.spawn_and_call(pm), size)
  pm:stop_all(0)
end

return {
  config = function()
    return { isolation = "worker" }
  end,
  run = function(pm, size)
    measuring.report_latency("worker", "spawn", measuring.sample(20, size.spawns, function()
      return calling.spawn_once(pm)
    end))
    local worker = calling.spawn_and_call(pm)
    report_calls("call", worker, size)
    measuring.report("worker", "throughput", {
      in_flight = calling.IN_FLIGHT, per_s = calling.rate({ worker }, size.seconds),
    })
    pm:stop_all(0)
    with_the_spin(size) -- last: from now on this loop spins
  end,
}
