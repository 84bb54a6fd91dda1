--- `stream = true`: the method returns an iterator, and its caller gets one.
--
-- What the method returns is what a generic `for` takes: a function, and perhaps a state, a first
-- control value and a value to be closed. Its items travel as they are made, as far ahead as the
-- caller gives credit, until the first value of one is nil; the call lasts until then, and so does
-- what other annotations put around it. Called on `self`, inside its worker, the method is what it
-- was written as.

local core = require "titan.core"

local TAKEN_BACK <const> = "an item that was sent cannot be taken back"
local NO_CALLER <const> = "there is no caller who could take the items"

---@type titan.Annotation
return {
  schema = { kind = "boolean", doc = "whether the method returns an iterator" },
  excludes = {
    retry = TAKEN_BACK, idempotent = TAKEN_BACK, fallback = TAKEN_BACK,
    cache = "a stream is not kept, it goes by",
    health_check = NO_CALLER, on_shutdown = NO_CALLER, child = NO_CALLER,
  },
  apply = function(method, value)
    method.stream = value
  end,
  wrap = function(inner)
    local stream_items = core.stream_items
    return function(self, ...)
      return stream_items(inner(self, ...))
    end
  end,
}
