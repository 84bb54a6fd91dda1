--- What bounds a worker, as far as it is the worker's own to set: before its class is loaded, and
--- again when the class wants something else.

local core = require "titan.core"
local errors = require "titan.errors"
local schema = require "titan.schema"
local sorted = require "titan.sorted"
local units = require "titan.units"

local limits = {}

---@class titan.LimitsSpec what the manager sends, see titan.manager.limiting
---@field heap integer bytes; 0 for no limit
---@field max_memory integer what the heap's limit comes from
---@field join string[] files of control groups to join
---@field addresses integer what RLIMIT_AS is made of; 0 for none
---@field rlimits table<string, integer>

---@param spec titan.LimitsSpec
local function join_groups(spec)
  for _, path in ipairs(spec.join) do
    local joined, why = core.join_group(path)
    if joined == nil then
      errors.raise("spawn_failed", string.format("cannot join the control group %s: %s", path, why))
    end
  end
end

---@param name string
---@param value integer
local function set_rlimit(name, value)
  local ok, why, hard = core.limit_rlimit(name, name == "cpu" and value // 1000 or value)
  if ok then
    return
  elseif hard and hard < value then
    why = string.format("%d is more than its hard limit of %d, which only root may raise", value,
      hard)
  end
  errors.raise("spawn_failed", string.format("resources.rlimits.%s cannot be set: %s", name, why))
end

--- Bounds this process, for good. Raises `spawn_failed`.
---@param spec titan.LimitsSpec
function limits.apply(spec)
  join_groups(spec)
  if spec.addresses > 0 then
    core.limit_addresses(spec.addresses)
  end
  for _, name in ipairs(sorted.keys(spec.rlimits)) do
    set_rlimit(name, spec.rlimits[name])
  end
  local ok, used = core.limit_memory(spec.heap)
  if not ok then
    errors.raise("spawn_failed", string.format("resources.max_memory of %s leaves %s for the Lua "
      .. "heap, of which %s are in use before the class is loaded: raise it, or preload less",
      units.format_size(spec.max_memory), units.format_size(spec.heap), units.format_size(used)))
  end
end

--- What of the resources a kind of isolation can bound. A thread shares the process with others:
--- its Lua heap alone is its own. Raises `invalid_config` for what cannot be.
---@param resources titan.Resources
---@param named { memory: boolean, cpu: boolean }
---@param isolation "process"|"worker"|"thread"
---@param path string of the resources
---@return titan.Resources
function limits.for_isolation(resources, named, isolation, path)
  if isolation == "process" then
    return resources
  end
  local why = string.format('with isolation = "%s" it would bound the whole program', isolation)
  if named.cpu and resources.max_cpu then
    schema.refuse(path .. ".max_cpu", why, resources.max_cpu, 'isolation = "process"')
  end
  local name = sorted.keys(resources.rlimits)[1]
  if name then
    schema.refuse(path .. ".rlimits." .. name, why, resources.rlimits[name],
      'isolation = "process"')
  end
  return { max_memory = resources.max_memory, max_cpu = false, timeout = resources.timeout,
    rlimits = {} }
end

return limits
