--- `timeout = "2s"`: raises `timeout` when the method is not done after so long.
--
-- It is raised where the method waits: its to-be-closed variables are closed, and the calls it has
-- made are given up. A method that computes and does not wait is not interrupted.

local core = require "titan.core"
local errors = require "titan.errors"

---@type titan.Annotation
return {
  schema = { kind = "duration", min = 1, max = "1000h", doc = "how long the method may take" },
  wrap = function(inner, ms, place)
    local time_limit = core.time_limit
    local err = errors.new("timeout", string.format("not done within %d ms (timeout of %s.%s)", ms,
      place.class, place.method), { details = { timeout = ms } })
    return function(self, ...)
      local _ <close> = time_limit(ms, err)
      return inner(self, ...)
    end
  end,
}
