--- Calls of mock services whose methods are idempotent by key: the claim that a manager would hold
--- for them, see titan.idempotency. An answer that a test has written down is nobody's claim: it is
--- given each time.

local idempotency = require "titan.idempotency"

local gate = {}

---@class titan.MockGate: titan.Gate
---@field package is_scripted fun(method: string): boolean

---@param spawner titan.MockSpawner
---@param scope string the name of the service
---@param any_worker fun(): titan.MockProcess? one that serves it
---@return titan.MockGate
function gate.of(spawner, scope, any_worker)
  return {
    stores = spawner.stores,
    scope = function()
      return scope
    end,
    keyed = function(method)
      local process = any_worker()
      return process and process.keyed[method]
    end,
    is_scripted = function(method)
      local process = any_worker()
      return spawner:_is_scripted(scope, method)
        or process ~= nil and spawner:_is_scripted(process.name, method)
    end,
  }
end

--- As idempotency.method.
---@param gated titan.MockGate
---@param owner table the proxy
---@param name string
---@param timeout integer
---@param how titan.CallOptions
---@param make fun(pairs: table?): fun(self: table, ...): ... the call, with these pairs in its
--- header
---@return fun(self: table, ...): ...
function gate.method(gated, owner, name, timeout, how, make)
  if not gated.keyed(name) then
    return make(how.pairs)
  end
  local plain = make(how.pairs)
  local claimed = idempotency.method(gated, owner, name, timeout, how, function(_, header)
    return make(header)
  end)
  return function(...)
    return (gated.is_scripted(name) and plain or claimed)(...)
  end
end

return gate
