--- Many idle states with isolation = "thread": each is spawned, called once, and left alone.

local calling = require "calling"
local core = require "titan.core"
local measuring = require "measuring"
local titan = require "titan"

local now_ms = core.monotonic_ms

local TOGETHER <const> = 128 -- spawns under way

---@return number KiB that are resident of this process
local function resident()
  local file <close> = assert(io.open("/proc/self/status"))
  return math.tointeger(file:read("a"):match("\nVmRSS:%s*(%d+) kB"))
end

---@param pm titan.Manager
---@param count integer
---@return table[] proxies
local function spawn_all(pm, count)
  local workers, futures, next = {}, {}, 0
  for i = 1, TOGETHER do
    futures[i] = titan.go(function()
      while next < count do
        next = next + 1
        workers[next] = calling.spawn_and_call(pm)
      end
    end)
  end
  titan.all(futures)
  return workers
end

return {
  config = function()
    return { isolation = "thread", advanced = { threads = 2 } }
  end,
  run = function(pm, size)
    spawn_all(pm, 200) -- warm-up
    pm:stop_all(0)
    collectgarbage()
    local before, start = resident(), now_ms()
    local workers = spawn_all(pm, size.idle_actors)
    local seconds = (now_ms() - start) / 1000
    collectgarbage()
    measuring.report("actors", "idle", {
      count = #workers, rss_kib = (resident() - before) / #workers, per_s = #workers / seconds,
    })
  end,
}
