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
---@param samples number[] what the calls took is added to it, us
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
    local samples, count, first = {}, size.block_round_trips, 0
    for i = -6000 // count, size.blocks do -- a warm-up, until the store is full
      for _, name in ipairs(NAMES) do
        samples[name] = i > 0 and samples[name] or {}
        block(worker, CALLS[name], first, count, samples[name])
        first = first + count
      end
    end
    for _, name in ipairs(NAMES) do
      measuring.report("idempotent", name, { p50_us = measuring.median(samples[name]) })
    end
  end,
}
