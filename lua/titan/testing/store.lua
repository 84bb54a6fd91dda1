--- The manager's stores as a mock process has them: without a wire, and else as titan.store.remote.
--- What it has claimed goes on to others when it is lost: the process calls `abandon_all`.

local store = {}

---@class titan.MockStore
---@field package spawner titan.MockSpawner
---@field package owner titan.TaskOwner
---@field package kind "manager"|"sqlite"
---@field package space string
---@field package max_entries? integer
---@field package tokens table<string, integer> of its claims, by key
local Store = {}
Store.__index = Store

-- Tells two claims of one owner apart.
local last_token = 0

---@param self titan.MockStore
---@return table
local function kept(self)
  return self.spawner.stores:store(self.kind, self.space, self.max_entries)
end

function Store:get(key)
  return kept(self):get(key)
end

function Store:put(key, value, ttl_ms)
  self.owner:check_alive()
  kept(self):put(key, value, ttl_ms)
end

function Store:remove(key)
  self.owner:check_alive()
  kept(self):remove(key)
end

function Store:claim(key, wait_ms)
  self.owner:check_alive()
  last_token = last_token + 1
  local token = last_token
  local state, value = kept(self):claim(key, wait_ms, self.owner, token)
  if state == "mine" then
    self.tokens[key] = token
  end
  return state, value
end

function Store:settle(key, value, ttl_ms)
  self.owner:check_alive()
  kept(self):settle(key, value, ttl_ms, self.owner, self.tokens[key])
  self.tokens[key] = nil
end

function Store:abandon(key, err)
  local token = self.tokens[key]
  self.tokens[key] = nil
  if token then
    kept(self):abandon(key, err, self.owner, token)
  end
end

function Store:take(key, limit)
  self.owner:check_alive()
  return kept(self):take(key, limit)
end

function Store:close()
  for key in pairs(self.tokens) do
    self:abandon(key)
  end
end

---@param spawner titan.MockSpawner
---@param owner titan.TaskOwner
---@param fields { kind: string, space: string, max_entries: integer? }
---@return titan.MockStore
function store.new(spawner, owner, fields)
  return setmetatable({
    spawner = spawner, owner = owner, kind = fields.kind, space = fields.space,
    max_entries = fields.max_entries, tokens = {},
  }, Store)
end

return store
