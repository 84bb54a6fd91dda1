--- How fast items come: small ones, and ones of 1 MiB.

local core = require "titan.core"
local measuring = require "measuring"

local now_ms = core.monotonic_ms

local LARGE <const> = 1 << 20

-- The items a second of streams one after the other.
---@param streams integer that count
---@param count integer of each
---@param begin fun(): function iterator
---@return number per_s
local function rate(streams, count, begin)
  local took = measuring.sample(1, streams, function()
    local seen, start = 0, now_ms()
    for _ in begin() do
      seen = seen + 1
    end
    assert(seen == count)
    return now_ms() - start
  end)
  return count / measuring.median(took) * 1000
end

return {
  run = function(pm, size)
    local worker = pm:spawn "streaming_worker"
    measuring.report("stream", "small", { per_s = rate(5, size.items, function()
      return worker:numbers(size.items)
    end) })
    measuring.report("stream", "1mib", { mib_per_s = rate(5, size.echoes, function()
      return worker:blobs(size.echoes, LARGE)
    end) })
  end,
}
