--- A store in the manager, from inside a worker: each operation is a request.
--
-- A claim must not be lost with the call that has it: when the answer to a claim is not waited for
-- (the call was cancelled, its time is over), or a settle fails, the manager is told that the claim
-- is given up. That is done by a task of its own, which no call's deadline can end.
-- When the process dies, the manager sees it.

local core = require "titan.core"
local remote_error = require "titan.remote_error"
local tasks = require "titan.tasks"

local setmetatable = setmetatable

local remote = {}

---@class titan.RemoteStore
---@field package kind "manager"|"sqlite"
---@field package space string
---@field package max_entries integer?
---@field package tokens table<string, integer> of the claims that this process has
---@field package ask table<string, fun(self: titan.RemoteStore, ...): ...> a request each
---@field package ask_claim fun(self: titan.RemoteStore, ...): ... one of them
---@field package tell_settle fun(self: titan.RemoteStore, ...) one that is not waited for
---@field package end_claim fun(self: titan.RemoteStore, ...) whichever of the two it is to be
local Remote = {}
Remote.__index = Remote

local OPERATIONS <const> = { "get", "put", "remove", "claim", "settle", "abandon", "take" }

-- Tells two claims of this process apart.
local last_token = 0

---@param kind "manager"|"sqlite"
---@param space string
---@param max_entries? integer
---@return titan.RemoteStore
function remote.new(kind, space, max_entries)
  local self = setmetatable({
    kind = kind, space = space, max_entries = max_entries, tokens = {}, ask = {},
  }, Remote)
  for _, name in ipairs(OPERATIONS) do
    self.ask[name] = core.service_method(nil, self, name, ":store", 0)
  end
  self.ask_claim = self.ask.claim
  self.tell_settle = core.service_teller(nil, self, "settle", ":store", 0)
  self.end_claim = kind == "manager" and self.tell_settle or self.ask.settle
  return self
end

-- Giving claims up -------------------------------------------------------------------------

-- What the manager has not been told yet, the first first; and the task that tells it.
local untold = { first = 1, last = 0 }
local teller

local AGAIN_MS <const> = 20
local TRIES <const> = 500

---@param given_up { store: titan.RemoteStore, key: string, token: integer, err: table? }
local function tell(given_up)
  local store = given_up.store
  for _ = 1, TRIES do
    if pcall(store.ask.abandon, store, store.kind, store.space, store.max_entries, given_up.key,
      given_up.token, given_up.err) then
      return
    end
    core.sleep(AGAIN_MS) -- too many calls under way
  end
end

local function tell_all()
  core.detach() -- from the call in which it is begun
  while true do
    while untold.first <= untold.last do
      local given_up = untold[untold.first]
      untold[untold.first] = nil
      untold.first = untold.first + 1
      tell(given_up)
    end
    core.park()
  end
end

---@param store titan.RemoteStore
---@param key string
---@param token integer
---@param err? table
local function give_up(store, key, token, err)
  untold.last = untold.last + 1
  untold[untold.last] = { store = store, key = key, token = token, err = err }
  teller = teller or core.go(tasks.trace, function()
    teller = nil
  end, tell_all)
  core.unpark(teller)
end

-- A request that must have been answered, else the claim is given up.
local Pending = {}

---@param pending { store: titan.RemoteStore, key: string, token: integer, answered: boolean }
function Pending.__close(pending)
  if not pending.answered then
    give_up(pending.store, pending.key, pending.token)
  end
end

-- One try ---------------------------------------------------------------------------------

--- A claim in the hands of one function, which has it as a to-be-closed variable: what it does not
--- settle is given up.
---@class titan.RemoteTry
---@field package store titan.RemoteStore
---@field package key string
---@field package token integer
---@field package is_over boolean
local Try = {}
Try.__index = Try

---@param try titan.RemoteTry
function Try.__close(try)
  if not try.is_over then
    give_up(try.store, try.key, try.token)
  end
end

--- The value of the key; nil with the claim, of which there is none yet. Waits as `claim` does.
---@return any value
function Try:claim()
  local store = self.store
  local state, value = store.ask_claim(store, store.kind, store.space, store.max_entries, self.key,
    self.token)
  if state == "mine" then
    return nil
  end
  self.is_over = true
  return value
end

--- Ends the claim with a value, as `Remote:settle` does.
---@param value string
---@param ttl_ms? integer
function Try:settle(value, ttl_ms)
  local store = self.store
  store.end_claim(store, store.kind, store.space, store.max_entries, self.key, self.token, value,
    ttl_ms)
  self.is_over = true
end

---@param key string
---@return titan.RemoteTry to be closed
function Remote:try(key)
  last_token = last_token + 1
  return setmetatable({ store = self, key = key, token = last_token, is_over = false }, Try)
end

-- The operations -----------------------------------------------------------------------------

function Remote:get(key)
  return self.ask.get(self, self.kind, self.space, self.max_entries, key)
end

function Remote:put(key, value, ttl_ms)
  self.ask.put(self, self.kind, self.space, self.max_entries, key, value, ttl_ms)
end

function Remote:remove(key)
  self.ask.remove(self, self.kind, self.space, self.max_entries, key)
end

function Remote:claim(key, wait_ms)
  last_token = last_token + 1
  local token = last_token
  local pending <close> =
    setmetatable({ store = self, key = key, token = token, answered = false }, Pending)
  local state, value =
    self.ask.claim(self, self.kind, self.space, self.max_entries, key, token, wait_ms)
  pending.answered = true
  if state == "mine" then
    self.tokens[key] = token
  end
  return state, value
end

-- With a claim of this process or, for whoever has none, without.
--
-- What is kept in the manager's memory need not be waited for: the manager does what this process
-- asks for in the order in which it was sent, and an answer that follows is behind it. So whoever
-- has heard of that answer, and asks again, finds the value.
function Remote:settle(key, value, ttl_ms)
  local token = self.tokens[key]
  self.tokens[key] = nil
  if token and self.kind == "manager" then
    local ok, err = pcall(self.tell_settle, self, self.kind, self.space, self.max_entries, key,
      token, value, ttl_ms)
    if not ok then
      give_up(self, key, token)
      error(err, 0)
    end
    return
  end
  local pending <close> =
    setmetatable({ store = self, key = key, token = token, answered = not token }, Pending)
  self.ask.settle(self, self.kind, self.space, self.max_entries, key, token, value, ttl_ms)
  pending.answered = true
end

--- Does not wait for the manager.
function Remote:abandon(key, err)
  local token = self.tokens[key]
  self.tokens[key] = nil
  if token then
    give_up(self, key, token, err ~= nil and remote_error.pack(err) or nil)
  end
end

function Remote:take(key, limit)
  return self.ask.take(self, self.kind, self.space, self.max_entries, key, limit.strategy,
    limit.rps, limit.burst)
end

function Remote:close()
  for key in pairs(self.tokens) do
    self:abandon(key)
  end
end

return remote
