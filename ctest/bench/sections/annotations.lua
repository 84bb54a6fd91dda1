--- What each annotation costs a call over the bare method, measured by a worker in itself.

local measuring = require "measuring"

local median = measuring.median

---@param worker table proxy
---@param case { name: string, text: string, caller: string? }
---@param size table
local function measure(worker, case, size)
  local with, bare = worker
    :with { timeout = false, headers = case.caller and { traceparent = case.caller } }
    :measure(case.name, size.blocks, size.block_calls)
  local differences = {}
  for i, ns in ipairs(with) do
    differences[i] = ns - bare[i]
  end
  measuring.report("annotation", case.name, {
    text = case.text, ns = median(differences), call_ns = median(with), bare_ns = median(bare),
  })
end

return {
  -- What is not recorded must be the caller's wish, or the sampler's.
  config = function()
    return { monitoring = { tracing = { sample = 0 } } }
  end,
  run = function(pm, size)
    local worker = pm:spawn "annotated_worker"
    for _, case in ipairs(worker:cases()) do
      measure(worker, case, size)
    end
  end,
}
