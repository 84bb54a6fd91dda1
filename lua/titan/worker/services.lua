--- Calling other services from inside a worker.

local core = require "titan.core"
local proxy = require "titan.proxy"
local worker = require "titan.worker"

local services = {}

-- By name: a call of titan.service in a method costs nothing after the first.
local known = {}

---@param why string
local function refuse(why)
  require("titan.errors").raise("invalid_config", why)
end

--- A proxy for another service of the same manager, whatever its methods are.
---@param name string
---@return table
function services.service(name)
  local tasks = package.loaded["titan.tasks"]
  local owner = tasks and tasks.owner()
  if owner then
    return owner.service(name) -- a worker of titan.testing's, in the program's own process
  elseif not core.is_worker() then
    refuse "titan.service is for the inside of a worker; in the manager use pm:discover(name)"
  elseif type(name) ~= "string" or name == "" then
    refuse("titan.service: expected the name of a service, given "
      .. require("titan.text").given(name))
  end
  known[name] = known[name] or proxy.new(proxy.of_service(name, worker.current.timeout))
  return known[name]
end

return services
