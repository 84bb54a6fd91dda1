--- Uses the loop as any program does that knows nothing of Titan.

local luv = require "luv"
local titan = require "titan"

-- The idiom of luv's own examples: a callback resumes the coroutine that waits for it.
local function pause(ms)
  local co, timer = coroutine.running(), luv.new_timer()
  timer:start(ms, 0, function()
    timer:close()
    assert(coroutine.resume(co, "rested"))
  end)
  return coroutine.yield()
end

return titan.process {
  all_methods_public = true,
  methods = {
    pause = function(_, ms)
      return pause(ms)
    end,
    pause_and_sleep = function(_, ms)
      local said = pause(ms)
      titan.sleep(ms)
      return said, pause(ms)
    end,
    pause_and_call = function(_, name)
      local said = pause(1)
      return said, titan.service(name):echo("called", pause(1))
    end,
    pause_and_fail = function()
      pause(1)
      error "it broke"
    end,
    fail_in_callback = function()
      local timer = luv.new_timer()
      timer:start(1, 0, function()
        timer:close()
        error "nobody can catch this"
      end)
      titan.sleep "1h"
    end,
  },
}
