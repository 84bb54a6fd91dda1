--- Calls of methods that are idempotent by key, on the manager's side: where it knows the key it
--- holds the claim itself, so that the worker need not ask. See titan.annotations.idempotent.

local core = require "titan.core"
local once = require "titan.store.once"
local store = require "titan.store"

local idempotency = {}

---@class titan.Keyed what a worker announces of such a method
---@field store "manager"|"sqlite"
---@field ttl integer ms
---@field max_entries integer
---@field digest boolean whether the key is core.digest of the arguments, if none is given

--- The methods that may be called once more when their worker was lost, and of those with a key
--- what the manager needs to know to hold the claim itself.
---@param loaded titan.Class
---@return string[] names
---@return table<string, titan.Keyed> keyed
function idempotency.announced(loaded)
  local names, keyed = {}, {}
  for _, name in ipairs(loaded.method_names) do
    local options = loaded.methods[name].idempotent
    names[#names + 1] = options and name or nil
    if type(options) == "table" and options.store ~= "memory" then
      keyed[name] = {
        store = options.store, ttl = options.ttl, max_entries = options.max_entries,
        digest = not options.key_fn,
      }
    end
  end
  return names, keyed
end

---@param use { keyed: titan.Keyed }
local function ttl_of(use)
  return use.keyed.ttl
end

-- Tells the claims of one manager's calls apart.
local last_token = 0

-- A store of this manager with a claim of one call: what titan.store.once works with.
local Claimed = {}
Claimed.__index = Claimed

function Claimed:claim(key)
  last_token = last_token + 1
  self.token = last_token
  return self.stored:claim(key, core.time_left(), Claimed, self.token)
end

function Claimed:settle(key, value, ttl)
  self.stored:settle(key, value, ttl, Claimed, self.token)
end

function Claimed:abandon(key)
  self.stored:abandon(key, nil, Claimed, self.token)
end

-- The call has a limit of its own, which its waiting counts in.
---@param timeout integer ms
local function limited(timeout, ...)
  if timeout == 0 then
    return once.call(...)
  end
  local _limit <close> = core.time_limit(timeout)
  return once.call(...)
end

---@param gate titan.Gate
---@param name string of the method
---@param keyed titan.Keyed
---@param given string?
---@param timeout integer ms
---@param method fun(self: table, ...): ...
---@return fun(self: table, ...): ...
local function guarded(gate, name, keyed, given, timeout, method)
  local space = store.space("idempotent", { scope = gate.scope(), method = name })
  return function(self, ...)
    local claimed = setmetatable({
      stored = gate.stores:store(keyed.store, space, keyed.max_entries),
    }, Claimed)
    local use = { store = claimed, keyed = keyed, ttl_of = ttl_of }
    return limited(timeout, use, given or core.digest(...), method, self, ...)
  end
end

---@class titan.Gate what stands before the calls of a service
---@field stores titan.SharedStores
---@field scope fun(): string the name of the service
---@field keyed fun(method: string): titan.Keyed? what its workers announced

--- The function of a proxy's method, with the claim around it where the manager can hold it.
---@param gate titan.Gate
---@param name string of the method
---@param timeout integer ms
---@param how titan.CallOptions
---@param make fun(header: string?, pairs: table?): fun(self: table, ...): ... the call itself, with
--- this header, which is made of these pairs
---@return fun(self: table, ...): ...
function idempotency.method(gate, name, timeout, how, make)
  local keyed, given = gate.keyed(name), how.pairs and how.pairs.idempotency_key
  if not keyed or not (given or keyed.digest) then
    return make(how.header, how.pairs)
  end
  local header = { claimed = true }
  for pair, value in pairs(how.pairs or {}) do
    header[pair] = value
  end
  return guarded(gate, name, keyed, given, timeout, make(core.call_header(header), header))
end

return idempotency
