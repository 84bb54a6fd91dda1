--- Many idle states with isolation = "thread": each is spawned, called once, and left alone.

local calling = require "calling"
local core = require "titan.core"
local measuring = require "measuring"
local titan = require "titan"

local now_ms = core.monotonic_ms

local TOGETHER <const> = 128 -- spawns under way
local LONGEST_MS <const> = 100000 -- what is not spawned by then is left out
local ONE_MOST <const> = 110 -- KiB, so that the machine can bear all of them

---@param path string
---@param field string
---@return number KiB
local function kib(path, field)
  local file <close> = assert(io.open(path))
  return math.tointeger(file:read("a"):match("%f[%w]" .. field .. ":%s*(%d+) kB"))
end

---@return number KiB that are resident of this process
local function resident()
  return kib("/proc/self/status", "VmRSS")
end

-- At most half of the memory that is available.
---@param count integer
---@return integer
local function bearable(count)
  return math.min(count, kib("/proc/meminfo", "MemAvailable") // 2 // ONE_MOST)
end

---@param pm titan.Manager
---@param count integer
---@return table[] proxies
local function spawn_all(pm, count)
  local workers, futures, next, start = {}, {}, 0, now_ms()
  for i = 1, TOGETHER do
    futures[i] = titan.go(function()
      while next < count and now_ms() - start < LONGEST_MS do
        next = next + 1
        local own = next
        workers[own] = calling.spawn_and_call(pm)
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
    local workers = spawn_all(pm, bearable(size.idle_actors))
    local seconds = (now_ms() - start) / 1000
    collectgarbage()
    measuring.report("actors", "idle", {
      count = #workers, rss_kib = (resident() - before) / #workers, per_s = #workers / seconds,
    })
  end,
}
