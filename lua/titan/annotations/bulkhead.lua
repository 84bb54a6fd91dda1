--- `bulkhead = 4`: at most so many calls of the method run side by side in a process.
--
-- Or `{ max_concurrent, max_queue, queue_timeout }`: one more waits, if fewer than max_queue do,
-- and they go in the order in which they came; what finds no place, or none within queue_timeout,
-- is refused with `overloaded`. A method that calls itself has a place for each of these calls.

local core = require "titan.core"
local errors = require "titan.errors"

---@type titan.Schema
local max_schema <const> = { kind = "integer", min = 1, max = 1000000,
  doc = "how many calls run side by side" }

---@class titan.Bulkhead the to-be-closed variable of every call that runs, and its queue
---@field where string
---@field max_concurrent integer
---@field max_queue integer
---@field queue_timeout? integer ms
---@field running integer
---@field waiting integer
---@field first integer where those who wait begin, at [first] to [last]
---@field last integer
---@field [integer] titan.BulkheadWaiter? nil where one has left

---@class titan.BulkheadWaiter
---@field bulkhead titan.Bulkhead
---@field co thread
---@field place integer
---@field admitted boolean

---@param bulkhead titan.Bulkhead
---@param waiter titan.BulkheadWaiter
local function leave_queue(bulkhead, waiter)
  bulkhead[waiter.place] = nil
  bulkhead.waiting = bulkhead.waiting - 1
end

-- The place goes to who has waited longest, or is free.
---@param bulkhead titan.Bulkhead
local function give_back(bulkhead)
  if bulkhead.waiting == 0 then
    bulkhead.running = bulkhead.running - 1
    return
  end
  while not bulkhead[bulkhead.first] do
    bulkhead.first = bulkhead.first + 1
  end
  local waiter = bulkhead[bulkhead.first]
  leave_queue(bulkhead, waiter)
  waiter.admitted = true
  core.unpark(waiter.co)
end

local Bulkhead <const> = { __close = give_back }

local Waiter <const> = {
  ---@param waiter titan.BulkheadWaiter
  ---@param err any why it does not get in
  __close = function(waiter, err)
    if not waiter.admitted then
      leave_queue(waiter.bulkhead, waiter)
    elseif err ~= nil then -- cancelled when it had just been admitted
      give_back(waiter.bulkhead)
    end
  end,
}

---@param bulkhead titan.Bulkhead
---@param why string
local function refuse(bulkhead, why)
  errors.raise("overloaded", string.format("%d calls run already%s (bulkhead of %s)",
    bulkhead.max_concurrent, why, bulkhead.where), {
    details = { max_concurrent = bulkhead.max_concurrent, max_queue = bulkhead.max_queue },
  })
end

---@param bulkhead titan.Bulkhead
local function await_place(bulkhead)
  if bulkhead.waiting >= bulkhead.max_queue then
    refuse(bulkhead, bulkhead.max_queue > 0
      and string.format(", and %d wait", bulkhead.max_queue) or "")
  end
  local waiter <close> = setmetatable({
    bulkhead = bulkhead, co = core.current(), place = bulkhead.last + 1, admitted = false,
  }, Waiter)
  bulkhead.last = waiter.place
  bulkhead[waiter.place] = waiter
  bulkhead.waiting = bulkhead.waiting + 1
  local limit = bulkhead.queue_timeout
  local deadline = limit and core.monotonic_ms() + limit
  repeat
    local left = deadline and math.max(0, math.ceil(deadline - core.monotonic_ms()))
    core.park(left)
  until waiter.admitted or left == 0
  if not waiter.admitted then
    refuse(bulkhead, string.format(", and none ended within %d ms", limit))
  end
end

---@type titan.Annotation
return {
  schema = {
    kind = "one_of", allowed = "an integer from 1 to 1000000, or a table",
    of = {
      max_schema,
      {
        kind = "table",
        fields = {
          max_concurrent = {
            kind = "integer", required = true, min = max_schema.min, max = max_schema.max,
            doc = max_schema.doc,
          },
          max_queue = { kind = "integer", min = 0, max = 1000000, default = 0,
            doc = "how many more wait for a place" },
          queue_timeout = { kind = "duration", min = 1, max = "1000h",
            doc = "how long they wait; as long as their caller does unless told" },
        },
      },
    },
    doc = "how many calls of the method run side by side in a process",
  },
  wrap = function(inner, value, place)
    local options = type(value) == "table" and value or { max_concurrent = value, max_queue = 0 }
    ---@type titan.Bulkhead
    local bulkhead = setmetatable({
      where = place.class .. "." .. place.method, max_concurrent = options.max_concurrent,
      max_queue = options.max_queue, queue_timeout = options.queue_timeout,
      running = 0, waiting = 0, first = 1, last = 0,
    }, Bulkhead)
    local max_concurrent = bulkhead.max_concurrent
    return function(self, ...)
      if bulkhead.running < max_concurrent then
        bulkhead.running = bulkhead.running + 1
      else
        await_place(bulkhead)
      end
      local _ <close> = bulkhead
      return inner(self, ...)
    end
  end,
}
