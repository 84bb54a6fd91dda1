--- What workers ask of their manager itself: services whose names begin with ":", which nobody can
--- give a process.
--
-- Each request runs in a task of its own and may wait; the task is cancelled when the worker no
-- longer waits, or lives no more. What it returns or raises is the answer.

local errors = require "titan.errors"
local shared_stores = require "titan.store.shared"

local serving = {}

---@alias titan.OwnMethod fun(manager: titan.Manager, service: titan.Service, ...): ... `service` is
--- the process that asks

---@type table<string, table<string, titan.OwnMethod>> by the service, then by the method
local services <const> = {
  [":store"] = shared_stores.service,
  [":spans"] = {
    add = function(manager, service, records, dropped)
      manager:_take_spans(service, records, dropped)
    end,
  },
}

--- Called by the core.
---@param manager titan.Manager
---@param service titan.Service who asks
---@param name string of the service
---@param method string
---@return any ...
function serving.serve(manager, service, name, method, ...)
  local found = services[name] and services[name][method]
  if not found then
    errors.raise("method_not_found", string.format("the manager has no %s in %s", method, name))
  end
  return found(manager, service, ...)
end

return serving
