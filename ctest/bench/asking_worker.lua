--- The worker of the section thread: one that asks others.

local core = require "titan.core"
local titan = require "titan"

local now_ms = core.monotonic_ms

return titan.process {
  all_methods_public = true,
  methods = {
    add = function(_, a, b)
      return a + b
    end,
    -- What each took, after a warm-up: ms.
    ask = function(_, name, warm_up, count)
      local other, samples = titan.service(name), {}
      for i = 1 - warm_up, count do
        local start = now_ms()
        other:add(1, 2)
        if i >= 1 then
          samples[i] = now_ms() - start
        end
      end
      return samples
    end,
    -- How often in so many ms, and how long it was.
    keep_asking = function(_, name, ms)
      local other, asked, start = titan.service(name), 0, now_ms()
      repeat
        other:add(1, 2)
        asked = asked + 1
      until now_ms() - start >= ms
      return asked, now_ms() - start
    end,
    -- With a loop of its own a state stays on its thread.
    settle = function()
      require("luv").update_time()
    end,
    native_thread = function()
      local file <close> = assert(io.open("/proc/thread-self/stat"))
      return file:read("n")
    end,
  },
}
