--- Calls of methods that are idempotent by key, on the manager's side: where it knows the key it
--- holds the claim itself, so that the worker need not ask. See titan.annotations.idempotent.

local core = require "titan.core"
local errors = require "titan.errors"
local store = require "titan.store"

local idempotency = {}

---@class titan.Keyed what a worker announces of such a method
---@field store "manager"|"sqlite"
---@field ttl integer ms
---@field max_entries integer
---@field digest boolean whether the key is core.digest of the arguments, if none is given
---@field space? string made when it is first needed

-- What stands around a method that is idempotent by key and only looks on: any other annotation
-- could end a call by itself, and that would not be the method's answer.
local bystanders <const> = { trace = true, metric = true, validate = true }

---@param method titan.Method
---@return boolean
local function is_bare(method)
  for _, layer in ipairs(method.layers) do
    if layer.name == "idempotent" then
      return true
    elseif not bystanders[layer.name] then
      return false
    end
  end
  return true
end

--- The methods that may be called once more when their worker was lost, and of those with a key
--- what the manager needs to know to hold the claim itself.
---@param loaded titan.Class
---@return string[] names
---@return table<string, titan.Keyed> keyed
function idempotency.announced(loaded)
  local names, keyed = {}, {}
  for _, name in ipairs(loaded.method_names) do
    local method = loaded.methods[name]
    local options = method.idempotent
    names[#names + 1] = options and name or nil
    if type(options) == "table" and options.store ~= "memory" and is_bare(method) then
      keyed[name] = {
        store = options.store, ttl = options.ttl, max_entries = options.max_entries,
        digest = not options.key_fn,
      }
    end
  end
  return names, keyed
end

-- One call that has, or wants, the claim of its key.
---@class titan.KeyedCall
---@field stored table
---@field key string
---@field held boolean
local Call = {}

---@param call titan.KeyedCall
function Call.__close(call)
  if call.held then
    call.stored:abandon(call.key, nil, call)
  end
end

-- The method has returned: its answer is kept before anybody sees it.
---@param call titan.KeyedCall
---@param ttl integer ms
local function kept(call, ttl, ...)
  call.stored:settle(call.key, core.encode_list("result", ...), ttl, call)
  call.held = false
  return ...
end

---@param stored table
---@param ttl integer ms
---@param key string
---@param method fun(self: table, ...): ...
local function once(stored, ttl, key, method, self, ...)
  local call <close> = setmetatable({ stored = stored, key = key, held = false }, Call)
  local state, answer = stored:claim(key, core.time_left(), call)
  if state == "done" then
    return core.decode_list(answer)
  end
  call.held = true
  return kept(call, ttl, method(self, ...))
end

---@param gate titan.Gate
---@param name string of the method
---@param timeout integer ms
local function too_late(gate, name, timeout)
  return errors.new("timeout", string.format("no answer within %d ms", timeout),
    { process = gate.scope(), method = name })
end

---@param gate titan.Gate
---@param name string of the method
---@param keyed titan.Keyed
---@param timeout integer ms
---@param key_of fun(self: table, ...): string raises for what the method cannot be called on
---@param method fun(self: table, ...): ...
---@return fun(self: table, ...): ...
local function guarded(gate, name, keyed, timeout, key_of, method)
  local space = keyed.space or store.space("idempotent", { scope = gate.scope(), method = name })
  keyed.space = space
  local stores, kind, max_entries, ttl = gate.stores, keyed.store, keyed.max_entries, keyed.ttl
  local is_slow = kind == "sqlite" or nil -- to open, too
  return function(self, ...)
    local key = key_of(self, ...)
    local stored = (timeout == 0 or not is_slow) and stores:store(kind, space, max_entries)
    if stored and (timeout == 0 or stored:is_at_once(key)) then
      return once(stored, ttl, key, method, self, ...)
    end
    -- Waiting for another call, and for a file, counts in the time the call has.
    local _ <close> = core.time_limit(timeout, is_slow and too_late(gate, name, timeout))
    return once(stored or stores:store(kind, space, max_entries), ttl, key, method, self, ...)
  end
end

---@param name string of the method
local function no_colon(name)
  error(string.format("titan: call the method with a colon: worker:%s(...)", name), 4)
end

---@param owner table the proxy
---@param name string of the method
---@param given string? without one: core.digest of the arguments
---@return fun(self: table, ...): string
local function key_of_one(owner, name, given)
  return function(self, ...)
    if not rawequal(self, owner) then
      no_colon(name)
    end
    return given or core.digest(...)
  end
end

---@param metatable table of the proxies
---@param name string of the method
---@return fun(self: table, ...): string
local function key_of_many(metatable, name)
  return function(self)
    if getmetatable(self) ~= metatable then
      no_colon(name)
    end
    return self[1]
  end
end

---@class titan.Gate what stands before the calls of a service
---@field stores titan.SharedStores
---@field scope fun(): string the name of the service
---@field keyed fun(method: string): titan.Keyed? what its workers announced

--- The function of a proxy's method, with the claim around it where the manager can hold it.
---@param gate titan.Gate
---@param owner table the proxy; where each of many holds its key, their metatable
---@param name string of the method
---@param timeout integer ms
---@param how titan.CallOptions
---@param make fun(header: string|boolean|nil, pairs: table?): fun(self: table, ...): ... the call
--- itself, with this header, see core.call_header; if it is a string, it is made of these pairs
---@return fun(self: table, ...): ...
function idempotency.method(gate, owner, name, timeout, how, make)
  local keyed, given = gate.keyed(name), how.pairs and how.pairs.idempotency_key
  if how.of_many then
    local method = make(keyed ~= nil)
    return keyed and guarded(gate, name, keyed, timeout, key_of_many(owner, name), method)
      or method
  elseif not keyed or not (given or keyed.digest) then
    return make(how.pairs and core.call_header(how.pairs), how.pairs)
  end
  local header = { claimed = true }
  for pair, value in pairs(how.pairs or {}) do
    header[pair] = value
  end
  return guarded(gate, name, keyed, timeout, key_of_one(owner, name, given),
    make(core.call_header(header), header))
end

return idempotency
