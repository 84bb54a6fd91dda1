--- Records the spans of a worker, for its manager to export.

local outbox = require "titan.tracing.outbox"
local span = require "titan.tracing.span"
local traceparent = require "titan.tracing.traceparent"
local worker = require "titan.worker"

local tracing = {}

--- Before the methods are put together: those with trace are wrapped only when it is on.
---@param options { sample: number, queue: integer }
function tracing.start(options)
  local box = outbox.open(options.queue)
  worker.current.outbox = box
  span.record {
    bound = traceparent.bound(options.sample),
    add = function(record)
      box:add(record)
    end,
  }
end

return tracing
