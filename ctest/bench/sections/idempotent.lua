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
---@return number us a call
local function block(worker, call, first, count)
  local start = now_ms()
  for i = first, first + count - 1 do
    call(worker, i)
  end
  return (now_ms() - start) * 1000 / count
end

return {
  -- A block as a whole: so that what is collected of the garbage of all its calls counts, too.
  run = function(pm, size)
    local worker = pm:spawn "keyed_worker"
    local took, first = {}, 0
    for i = 0, size.blocks do -- the first ones warm up
      for _, name in ipairs(NAMES) do
        local of = took[name] or {}
        took[name] = of
        of[i] = block(worker, CALLS[name], first, size.block_round_trips)
        first = first + size.block_round_trips
      end
    end
    for _, name in ipairs(NAMES) do
      measuring.report("idempotent", name, { us = measuring.median(took[name]) })
    end
  end,
}
