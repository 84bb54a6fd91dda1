--- How the sections measure, and print what they found.

local cjson = require "cjson"
local core = require "titan.core"

local now_ms = core.monotonic_ms

local measuring = {}

--- A line of what was found.
---@param section string
---@param mode string
---@param figures table<string, number|string>
function measuring.report(section, mode, figures)
  figures.titan, figures.mode = section, mode
  print(cjson.encode(figures))
end

--- In the place of figures that cannot be had.
---@param section string
---@param mode string
---@param why string
function measuring.skip(section, mode, why)
  measuring.report(section, mode, { skipped = why })
end

---@param samples number[] sorted
---@param percent integer
---@return number
local function percentile(samples, percent)
  return samples[1 + (#samples - 1) * percent // 100]
end

---@param samples number[]
---@return number
function measuring.median(samples)
  table.sort(samples)
  return percentile(samples, 50)
end

---@param section string
---@param mode string
---@param samples number[] ms
function measuring.report_latency(section, mode, samples)
  table.sort(samples)
  measuring.report(section, mode, {
    count = #samples, p50_us = percentile(samples, 50) * 1000,
    p99_us = percentile(samples, 99) * 1000,
  })
end

--- Calls `fn` as often as is said, after a warm-up whose times do not count.
---@param warm_up integer
---@param count integer
---@param fn fun(): number? ms it took, when it measures that itself
---@return number[] ms
function measuring.sample(warm_up, count, fn)
  local samples = {}
  for i = 1 - warm_up, count do
    local start = now_ms()
    local took = fn() or now_ms() - start
    if i >= 1 then
      samples[i] = took
    end
  end
  return samples
end

return measuring
