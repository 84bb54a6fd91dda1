--- The stores in the manager that its workers share: one of each kind and space.
--
-- What the workers send is checked: a worker is not trusted to send what titan.store.remote does.

local core = require "titan.core"
local durable = require "titan.store.durable"
local errors = require "titan.errors"
local limits = require "titan.store.limits"
local memory = require "titan.store.memory"
local remote_error = require "titan.remote_error"
local tasks = require "titan.tasks"
local text = require "titan.text"

local shared = {}

---@class titan.SharedStores
---@field package config titan.StoreConfig
---@field package home? titan.StoresHome
---@field package kinds { manager: table<string, table>, sqlite: table<string, table> } by space
---@field package file? titan.Future of the file behind those of the kind sqlite, once somebody
--- needs it
local Shared = {}
Shared.__index = Shared

--- A manager with processes: what these ask of its stores of the kind "manager" is answered by the
--- core where nobody has to wait, see titan.store.memory.
---@class titan.StoresHome
---@field open_ledger fun(space: string, max_entries: integer?): titan.Ledger
---@field owner_of fun(process: userdata): any

---@param config titan.StoreConfig
---@param home? titan.StoresHome
---@return titan.SharedStores
function shared.new(config, home)
  return setmetatable({ config = config, home = home, kinds = { manager = {}, sqlite = {} } },
    Shared)
end

-- Not a part of the request that was the first to need it.
---@param config titan.StoreConfig
---@return titan.StoreFile
local function open_file(config)
  core.detach()
  return durable.open_file(config)
end

-- The file is opened once for all that need it, and again by the next one when that failed.
---@param self titan.SharedStores
---@return titan.StoreFile
local function file_of(self)
  local opening = self.file or tasks.go(open_file, self.config)
  self.file = opening
  local ok, file = pcall(opening.await, opening)
  if not ok then
    if self.file == opening and opening:done() then
      self.file = nil
    end
    error(file, 0)
  end
  return file
end

---@param self titan.SharedStores
---@param file titan.StoreFile|false
---@param space string
---@param max_entries integer?
local function new_store(self, file, space, max_entries)
  if file then
    return durable.new(memory.new { max_entries = max_entries }, file, space)
  end
  local home = self.home
  return memory.new {
    max_entries = max_entries, ledger = home and home.open_ledger(space, max_entries),
    owner_of = home and home.owner_of,
  }
end

--- The store of a kind and a space, made when it is first asked for.
---@param kind any
---@param space any
---@param max_entries any counts when it is made
---@return table
function Shared:store(kind, space, max_entries)
  local spaces = self.kinds[kind]
  if not spaces or type(space) ~= "string" then
    errors.raise("validation_failed", string.format("no store of the kind %s and the space %s",
      text.given(kind), text.given(space)))
  end
  local known = spaces[space]
  if not known then
    local file = kind == "sqlite" and file_of(self)
    known = spaces[space] -- made by another while the file was opened
      or new_store(self, file, space, math.type(max_entries) == "integer" and max_entries or nil)
    spaces[space] = known
  end
  return known
end

--- A process has ended: what it claimed goes to those who wait.
---@param owner any
function Shared:abandon_all(owner)
  for _, spaces in pairs(self.kinds) do
    for _, store in pairs(spaces) do
      store:abandon_all(owner)
    end
  end
end

---@param opening titan.Future
local function close_file(opening)
  local ok, file = pcall(opening.await, opening)
  if ok then
    file:close()
  end
end

--- Waits until the file is closed, where it is called by a task.
function Shared:close()
  for _, spaces in pairs(self.kinds) do
    for _, store in pairs(spaces) do
      store:close()
    end
  end
  self.kinds, self.home = { manager = {}, sqlite = {} }, nil
  local opening = self.file
  self.file = nil
  if opening then
    local closing = tasks.go(close_file, opening):ignore()
    if pcall(core.current) then
      closing:await()
    end
  end
end

-- The service ----------------------------------------------------------------------------

-- Raises `validation_failed` unless the value is of the type, or nil if that may be.
---@param what string
---@param value any
---@param kind string
---@param may_be_nil? boolean
local function expect(what, value, kind, may_be_nil)
  if type(value) ~= kind and not (may_be_nil and value == nil) then
    errors.raise("validation_failed", string.format("the store expects a %s as the %s, given %s",
      kind, what, text.given(value)))
  end
end

--- The manager's service ":store": each with the process that asks, then the kind, the space, its
--- max_entries and the key.
---@type table<string, fun(manager: titan.Manager, owner: any, kind: any, space: any, ...): ...>
local service = {}
shared.service = service

function service.get(manager, _, kind, space, max_entries, key)
  expect("key", key, "string")
  return manager.stores:store(kind, space, max_entries):get(key)
end

function service.put(manager, _, kind, space, max_entries, key, value, ttl_ms)
  expect("key", key, "string")
  expect("value", value, "string")
  expect("ttl", ttl_ms, "number", true)
  manager.stores:store(kind, space, max_entries):put(key, value, ttl_ms)
end

function service.remove(manager, _, kind, space, max_entries, key)
  expect("key", key, "string")
  manager.stores:store(kind, space, max_entries):remove(key)
end

function service.claim(manager, owner, kind, space, max_entries, key, token, wait_ms)
  expect("key", key, "string")
  expect("token", token, "number")
  expect("time to wait", wait_ms, "number", true)
  return manager.stores:store(kind, space, max_entries):claim(key, wait_ms, owner, token)
end

function service.settle(manager, owner, kind, space, max_entries, key, token, value, ttl_ms)
  expect("key", key, "string")
  expect("value", value, "string")
  expect("ttl", ttl_ms, "number", true)
  manager.stores:store(kind, space, max_entries):settle(key, value, ttl_ms, owner, token)
end

function service.abandon(manager, owner, kind, space, max_entries, key, token, err)
  expect("key", key, "string")
  local raised = err ~= nil and remote_error.receive(err) or nil
  manager.stores:store(kind, space, max_entries):abandon(key, raised, owner, token)
end

function service.take(manager, _, kind, space, max_entries, key, strategy, rps, burst)
  expect("key", key, "string")
  local limit = { strategy = strategy, rps = rps, burst = burst }
  if not limits.is_limit(limit) then
    errors.raise("validation_failed", "the store expects a limit: a strategy, rps above 0 and a "
      .. "burst of at least 1")
  end
  return manager.stores:store(kind, space, max_entries):take(key, limit)
end

return shared
