--- What a class wants that is the manager's to give: other services, time, or a name that nobody
--- has.

local core = require "titan.core"
local worker = require "titan.worker"

local wishes = {}

-- What is to be waited for: what the class depends on, without what the spawn puts in its place.
-- For that a spawn has waited; a supervisor does not.
---@param loaded titan.Class
---@param spec table
---@return titan.Dependency[]
local function own_dependencies(loaded, spec)
  local replaced, own = {}, {}
  for _, dependency in ipairs(spec.dependencies) do
    replaced[dependency.alias] = true
    own[#own + 1] = spec.awaits_all and dependency or nil
  end
  for _, dependency in ipairs(loaded.dependencies) do
    own[#own + 1] = not replaced[dependency.alias] and dependency or nil
  end
  return own
end

--- Lets the manager see what the class wants before `init` runs, if there is anything, and waits
--- until it agrees.
---@param loaded titan.Class
---@param spec table
function wishes.declare(loaded, spec)
  local dependencies = own_dependencies(loaded, spec)
  local name = not spec.named and loaded.name ~= spec.class_name and loaded.name or nil
  local resources = not spec.class_known and loaded.resources or nil
  if #dependencies == 0 and not loaded.startup_timeout and not name and not resources then
    return
  end
  local co, answer = core.current(), nil
  worker.current.proceed = function(given)
    answer = answer or given
    core.unpark(co)
  end
  core.worker_declared {
    dependencies = dependencies, startup_timeout = loaded.startup_timeout, name = name,
    resources = resources,
  }
  while not answer do
    core.park()
  end
  worker.current.proceed = nil
  spec.name = answer.name
  if answer.resources then
    require("titan.worker.limits").apply(answer.resources)
  end
end

return wishes
