--- isolation = "thread": states that take turns on a few native threads of this process, and ask
--- each other.

local calling = require "calling"
local measuring = require "measuring"
local titan = require "titan"

local ACTORS <const> = 1000
local CANDIDATES <const> = 16

---@param threads integer
---@return titan.Manager
local function manager_of(threads)
  return titan.manager {
    isolation = "thread", advanced = { threads = threads }, logs = { format = "none" },
  }
end

---@param pm titan.Manager
---@param i integer
---@return table proxy
local function actor(pm, i)
  return pm:spawn("asking_worker", { name = "actor-" .. i })
end

-- Two whose native threads are not the same.
---@param pm titan.Manager
---@return table? asker
---@return string? asked its name
local function two_apart(pm)
  local asker = actor(pm, 1)
  asker:settle()
  local home = asker:native_thread()
  for i = 2, CANDIDATES do
    local other = actor(pm, i)
    other:settle()
    if other:native_thread() ~= home then
      return asker, "actor-" .. i
    end
  end
end

---@param mode string
---@param asker table
---@param name string of whom it asks
---@param size table
local function report_asks(mode, asker, name, size)
  local took = asker:with { timeout = false }:ask(name, size.asks // 10, size.asks)
  measuring.report_latency("thread", mode, took)
end

---@param size table
local function ask_on_one(size)
  local pm = manager_of(1)
  local asker = actor(pm, 1)
  actor(pm, 2)
  report_asks("ask_on_one", asker, "actor-2", size)
  pm:stop_all(0)
end

---@param size table
local function ask_on_two(size)
  local pm = manager_of(2)
  local asker, asked = two_apart(pm)
  if asker and asked then
    report_asks("ask_on_two", asker, asked, size)
  else
    measuring.skip("thread", "ask_on_two", "all states were on one thread")
  end
  pm:stop_all(0)
end

-- Each of them asks its neighbour as often as it can.
---@param size table
local function ask_among_many(size)
  local pm, actors = manager_of(2), {}
  for i = 1, ACTORS do
    actors[i] = titan.go(actor, pm, i)
  end
  actors = titan.all(actors)
  local function per_s(ms)
    local futures, asks, took = {}, 0, 0
    for i, of in ipairs(actors) do
      local neighbour = "actor-" .. i % ACTORS + 1
      futures[i] = of:with { timeout = false }.async:keep_asking(neighbour, ms)
    end
    for _, future in ipairs(futures) do
      local asked, asked_ms = future:await()
      asks, took = asks + asked, took + asked_ms
    end
    return asks / (took / ACTORS) * 1000
  end
  per_s(250) -- warm-up
  local asks = per_s(math.ceil(size.seconds * 1000))
  measuring.report("thread", "many", {
    actors = ACTORS, asks_per_s = asks, messages_per_s = 2 * asks, -- a question and its answer
  })
  pm:stop_all(0)
end

return {
  config = function()
    return { isolation = "thread", advanced = { threads = 2 } }
  end,
  run = function(pm, size)
    measuring.report_latency("thread", "spawn", measuring.sample(20, size.spawns, function()
      return calling.spawn_once(pm)
    end))
    ask_on_one(size)
    ask_on_two(size)
    ask_among_many(size)
  end,
}
