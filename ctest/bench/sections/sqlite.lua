--- New keys a second of a durable store: calls that are idempotent with the store "sqlite", each of
-- which the manager writes to its file before it answers, and the file by itself. A write waits for
-- the disk (synchronous = FULL), in BENCH_DIR.

local core = require "titan.core"
local file = require "titan.store.file"
local measuring = require "measuring"
local titan = require "titan"

local now_ms = core.monotonic_ms

local CALLERS <const> = 128

---@param name string
---@return string
local function path_of(name)
  return (os.getenv "BENCH_DIR" or ".") .. "/" .. name
end

-- So many tasks call it as often as they can, each time with another number.
---@param seconds number
---@param call fun(i: integer)
---@return number per_s
local function rate(seconds, call)
  local begun, done, running, futures = 0, 0, true, {}
  for caller = 1, CALLERS do
    futures[caller] = titan.go(function()
      while running do
        begun = begun + 1
        call(begun)
        done = done + 1
      end
    end)
  end
  titan.sleep(250) -- warm-up
  local start, before = now_ms(), done
  titan.sleep(math.ceil(seconds * 1000))
  local per_s = (done - before) / (now_ms() - start) * 1000
  running = false
  titan.all(futures)
  return per_s
end

-- Methods of the worker, by what is measured.
local CALLS <const> = {
  { mode = "bare", method = "bare" },
  { mode = "digest", method = "durable" },
  { mode = "asked", method = "durable_asking" },
}

return {
  config = function()
    return { store = { kind = "sqlite", path = path_of "manager.db" } }
  end,
  run = function(pm, size)
    local worker = pm:spawn "keyed_worker"
    for _, of in ipairs(CALLS) do
      local per_s = rate(size.seconds, function(i)
        worker[of.method](worker, i, 2)
      end)
      measuring.report("sqlite", of.mode, { callers = CALLERS, per_s = per_s })
    end
    local store = file.open { path = path_of "file.db" }
    local per_s = rate(size.seconds, function(i)
      store:put_new("key " .. i, "value", 3600000)
    end)
    store:close()
    measuring.report("sqlite", "file", { callers = CALLERS, per_s = per_s })
  end,
}
