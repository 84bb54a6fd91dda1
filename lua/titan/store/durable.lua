--- A store whose values are in a file: they outlive the manager.
--
-- Claims, those who wait and limits are in memory (titan.store.memory), values in the file
-- alone. A value is in the file when `put` or `settle` returns, and of two that settle one key the
-- first counts: the other's waiters get the first's value, too. max_entries counts claims and
-- limits; values leave the file when their time to live is over.

local durable = {}

---@class titan.StoreFile what is needed of the file; all may suspend the task
---@field get fun(self: titan.StoreFile, key: string): string?
---@field put fun(self: titan.StoreFile, key: string, value: string, ttl_ms: integer?)
---@field put_new fun(self: titan.StoreFile, key: string, value: string, ttl_ms: integer?): boolean,
--- string? whether it was put, else what is there
---@field remove fun(self: titan.StoreFile, key: string)
---@field close fun(self: titan.StoreFile)

---@class titan.DurableStore
---@field package engine titan.MemoryStore
---@field package file titan.StoreFile
---@field package prefix string of the keys in the file
local Durable = {}
Durable.__index = Durable

---@param engine titan.MemoryStore one without values
---@param file titan.StoreFile of the caller's, who closes it
---@param space string
---@return titan.DurableStore
function durable.new(engine, file, space)
  return setmetatable({ engine = engine, file = file, prefix = space .. "\0" }, Durable)
end

--- Opens the file that a manager's config names; waits until it is. Raises what
--- titan.store.file raises.
---@param config titan.StoreConfig
---@return titan.StoreFile
function durable.open_file(config)
  return require("titan.store.file").open({
    path = config.path, busy_timeout = config.busy_timeout,
  }, "config.store")
end

function Durable:get(key)
  return self.file:get(self.prefix .. key)
end

function Durable:put(key, value, ttl_ms)
  self.file:put(self.prefix .. key, value, ttl_ms and math.ceil(ttl_ms))
end

function Durable:remove(key)
  self.file:remove(self.prefix .. key)
end

-- A claim that must be ended one way or the other.
local Held = {}

---@param held { engine: titan.MemoryStore, key: string, owner: any, token: any, kept: boolean? }
function Held.__close(held)
  if not held.kept then
    held.engine:abandon(held.key, nil, held.owner, held.token)
  end
end

---@param self titan.DurableStore
---@param key string
---@param owner any
---@param token any
local function hold(self, key, owner, token)
  return setmetatable({ engine = self.engine, key = key, owner = owner, token = token }, Held)
end

-- The file is looked at with the claim in hand: so nobody can settle in between.
function Durable:claim(key, wait_ms, owner, token)
  local state, value = self.engine:claim(key, wait_ms, owner, token)
  if state == "done" then
    return state, value
  end
  local held <close> = hold(self, key, owner, token)
  value = self.file:get(self.prefix .. key)
  held.kept = true
  if value == nil then
    return "mine"
  end
  self.engine:settle(key, value, 0, owner, token)
  return "done", value
end

function Durable:settle(key, value, ttl_ms, owner, token)
  local held <close> = hold(self, key, owner, token)
  if ttl_ms ~= 0 then
    local put, there =
      self.file:put_new(self.prefix .. key, value, ttl_ms and math.ceil(ttl_ms))
    value = not put and there or value
  end
  held.kept = true
  self.engine:settle(key, value, 0, owner, token)
end

function Durable:abandon(key, err, owner, token)
  self.engine:abandon(key, err, owner, token)
end

function Durable:abandon_all(owner)
  self.engine:abandon_all(owner)
end

function Durable:take(key, limit)
  return self.engine:take(key, limit)
end

function Durable:close()
  self.engine:close()
end

return durable
