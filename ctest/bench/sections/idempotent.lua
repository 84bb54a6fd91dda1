--- What a call costs that is idempotent by key, with the store "manager", beside a bare one. Each
-- has a key that was never used before, but for the one whose answer is known.

local core = require "titan.core"
local measuring = require "measuring"

local now_ms = core.monotonic_ms

-- The calls by what is measured: `i` is another number in each.
local CALLS <const> = {
  bare = function(worker, i)
    worker:bare(i, 2)
  end,
  given = function(worker, i)
    worker:with { idempotency_key = "order-" .. i }:keyed(i, 2)
  end,
  -- A bare call that is made so: what of the one above is the price of `with`.
  with = function(worker, i)
    worker:with { headers = { order = "order-" .. i } }:bare(i, 2)
  end,
  digest = function(worker, i)
    worker:keyed(i, 2)
  end,
  asked = function(worker, i)
    worker:asking(i, 2)
  end,
  known = function(worker)
    worker:keyed(-1, 2)
  end,
}
local NAMES <const> = { "bare", "given", "with", "digest", "asked", "known" }

---@param worker table proxy
---@param call fun(worker: table, i: integer)
---@param first integer
---@param count integer
---@param samples number[] what they took is added to it, us
local function block(worker, call, first, count, samples)
  for i = first, first + count - 1 do
    local start = now_ms()
    call(worker, i)
    samples[#samples + 1] = (now_ms() - start) * 1000
  end
end

return {
  run = function(pm, size)
    local worker = pm:spawn "keyed_worker"
    local samples = {}
    for _, name in ipairs(NAMES) do
      block(worker, CALLS[name], 1, size.warm_up // 5, {})
      samples[name] = {}
    end
    local first = 1000000
    for _ = 1, size.blocks do
      for _, name in ipairs(NAMES) do
        block(worker, CALLS[name], first, size.block_round_trips, samples[name])
        first = first + size.block_round_trips
      end
    end
    for _, name in ipairs(NAMES) do
      measuring.report("idempotent", name, { p50_us = measuring.median(samples[name]) })
    end
  end,
}
