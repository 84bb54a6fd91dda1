--- What a manager passes on to its mock spawner: asking and stopping. These are methods of
--- titan.MockSpawner.

local core = require "titan.core"
local errors = require "titan.errors"
local health = require "titan.testing.health"
local schema = require "titan.schema"

---@class titan.MockSpawner
local Spawner = {}

---@param name string
---@return table? proxy
function Spawner:discover(name)
  local process, pool = self:_find(name), self.pools[name]
  return pool and pool.proxy or process and process.proxy
end

-- One that has ended has its id, but its name may be another's by now.
---@param key string
---@return titan.MockProcess?
local function alive_or_gone(self, key)
  local process = self:_find(key)
  for _, gone in ipairs(self.gone) do
    process = process or gone.id == key and gone or nil
  end
  return process
end

---@param key string
---@return table?
function Spawner:get_process_info(key)
  local process = alive_or_gone(self, key)
  return process and process:get_info()
end

---@return table[]
function Spawner:get_all_processes()
  local all = {}
  for _, list in ipairs { self.gone, self.alive } do
    for _, process in ipairs(list) do
      all[#all + 1] = process:get_info()
    end
  end
  return all
end

---@param key? string
---@return table?
function Spawner:get_metrics(key)
  if key ~= nil then
    local process = alive_or_gone(self, key)
    return process and process:get_metrics()
  end
  local all = {}
  for _, process in ipairs(self.alive) do
    all[process.id] = process:get_metrics()
  end
  return all
end

function Spawner:health()
  return health.of_all(self.alive)
end

---@param key string
---@param timeout? number|string
---@return true?
---@return titan.Error?
function Spawner:stop_process(key, timeout)
  core.current()
  local ms = schema.check({ kind = "duration" }, timeout, "stop_process.timeout")
  local process = self:_find(key)
  if not process then
    return nil, self:_unknown(key)
  end
  return process:stop(ms or process.options.shutdown_timeout
    or self.config.advanced.graceful_shutdown_timeout)
end

--- The last to start is the first to stop: what others depend on was there before them.
---@param timeout? number|string
---@return true?
---@return titan.Error?
function Spawner:stop_all(timeout)
  core.current()
  local ms = schema.check({ kind = "duration" }, timeout, "stop_all.timeout")
  self.stopping = self.stopping + 1
  local _ <close> = setmetatable({}, {
    __close = function()
      self.stopping = self.stopping - 1
    end,
  })
  for _, pool in ipairs(self:_all_pools()) do
    pool:stop(ms)
  end
  local failure
  while #self.alive > 0 do
    local ok, err = self:stop_process(self.alive[#self.alive].id, ms)
    failure = failure or not ok and err or nil
  end
  if failure then
    return nil, failure
  end
  return true
end

---@return titan.MockPool[]
function Spawner:_all_pools()
  local all = {}
  for _, pool in pairs(self.pools) do
    all[#all + 1] = pool
  end
  return all
end

--- SIGKILL, as `crash`; a mock process gets no other signal.
---@param key string
---@param signal? string|integer
---@return true?
---@return titan.Error?
function Spawner:kill(key, signal)
  if (signal or "SIGKILL") ~= "SIGKILL" and signal ~= "KILL" and signal ~= 9 then
    errors.raise("invalid_config", "kill.signal: a mock process can only be killed (SIGKILL)")
  end
  local process = self:_find(key)
  if not process then
    return nil, self:_unknown(key)
  end
  process:crash()
  return true
end

return Spawner
