--- Proxies that are made for one call each, with a key of its own (`with { idempotency_key = }`).

local proxy = require "titan.proxy"

local many = {}

local HOW <const> = proxy.HOW

---@param backend titan.Backend
---@param name string
---@return boolean? whether a proxy has something else there than a method
local function is_taken(backend, name)
  return name == "async" or name == "with" or backend.own[name] ~= nil
    or backend.live and backend.live[name] ~= nil or backend.pooled and name == "__method"
end

-- Of proxies that are made for one call each: what they have is their key, and their methods are
-- one for all. For whatever else is asked of one it becomes as the others are.
---@param backend titan.Backend
---@param timeout integer
---@param how titan.CallOptions
---@return table
local function new_metatable_of_many(backend, timeout, how)
  local methods = {}
  local as_many = { priority = how.priority, key = how.key, of_many = true }
  local plain = proxy.metatable_of(backend, timeout)
  local metatable = { __tostring = plain.__tostring, __newindex = plain.__newindex }
  metatable.__name = plain.__name
  function metatable.__index(owner, name)
    local method = methods[name]
    if method then
      return method
    elseif type(name) ~= "string" then
      return nil
    elseif is_taken(backend, name) then
      if not rawget(owner, HOW) then
        local header = { idempotency_key = owner[1] }
        rawset(owner, HOW, { priority = how.priority, key = how.key, pairs = header })
      end
      return plain.__index(owner, name)
    end
    local made, keep = backend.method(metatable, name, timeout, as_many)
    methods[name] = keep ~= false and made or nil
    return made
  end
  return metatable
end

-- By the titan.CallOptions that hold beside the key.
local metatables_of_many = setmetatable({}, { __mode = "k" })

--- A proxy whose calls have this key.
---@param backend titan.Backend
---@param key string
---@param timeout integer
---@param how titan.CallOptions without pairs
---@return table
function many.with_key(backend, key, timeout, how)
  local metatable = metatables_of_many[how]
  if not metatable then
    metatable = new_metatable_of_many(backend, timeout, how)
    metatables_of_many[how] = metatable
  end
  return setmetatable({ key }, metatable)
end

return many
