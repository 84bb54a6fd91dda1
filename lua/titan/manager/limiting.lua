--- What bounds the workers of a manager: which limits hold for a process, and by what they are
--- enforced. These are methods of titan.Manager.

local core = require "titan.core"
local limits = require "titan.worker.limits"
local resources = require "titan.config.resources"

---@class titan.Manager
---@field package groups_told? boolean
---@field package common_limits table<titan.Isolation, titan.HeldLimits>
local Manager = {}

---@class titan.HeldLimits what holds for one process
---@field resources titan.Resources
---@field named { memory: boolean, cpu: boolean }
---@field heap integer|false bytes that the Lua heap may have

---@class titan.Limits
---@field memory? { max: integer, heap: integer, by: string[] }
---@field cpu? { max: number, by: string[] }
---@field rlimits table<string, integer>
---@field timeout? { ms: integer, by: string }

---@param isolation titan.Isolation
---@param ... table? what is said beside the config
---@return titan.HeldLimits
function Manager:_held(isolation, ...)
  local merged, named = resources.merged(self.config.resources, ...)
  merged = limits.for_isolation(merged, named, isolation, "resources")
  if isolation ~= "process" then
    return { resources = merged, named = { memory = false, cpu = false }, heap = merged.max_memory }
  end
  return { resources = merged, named = named,
    heap = merged.max_memory and merged.max_memory // 4 * 3 }
end

--- Of those that say nothing themselves all have the same.
---@param options titan.SpawnOptions
---@param class_resources table?
---@return titan.HeldLimits
function Manager:_limits(options, class_resources)
  local isolation = options.isolation or self.config.isolation
  if class_resources or options.resources then
    return self:_held(isolation, class_resources, options.resources)
  end
  self.common_limits[isolation] = self.common_limits[isolation] or self:_held(isolation)
  return self.common_limits[isolation]
end

-- Once, when it is first needed.
---@param groups { memory: string?, cpu: string?, why: string }
---@param memory boolean whether a group is wanted for it
---@param cpu boolean
function Manager:_tell_of_groups(groups, memory, cpu)
  local lacks = memory and not groups.memory or cpu and not groups.cpu
  if not lacks or self.groups_told then
    return
  end
  self.groups_told = true
  local instead = {}
  if not groups.memory then
    instead[#instead + 1] = "max_memory by RLIMIT_AS and a watch"
  end
  if not groups.cpu then
    instead[#instead + 1] = "max_cpu by a watch"
  end
  local line = string.format("no control groups (%s): %s instead", groups.why,
    table.concat(instead, ", "))
  core.manager_log(self.handle, line)
  self.events:emit("log", { name = "titan", stream = "stderr", line = line, time = core.now_ms() })
end

--- What the worker has to do for its limits.
---@param held titan.HeldLimits
---@param process userdata? nil for the next that is spawned
---@return titan.LimitsSpec
function Manager:_limits_spec(held, process)
  local given, named = held.resources, held.named
  local memory = named.memory and given.max_memory and true or false
  local cpu = named.cpu and given.max_cpu and true or false
  local spec = {
    heap = held.heap or 0, max_memory = given.max_memory or 0, join = {},
    addresses = 0, rlimits = given.rlimits,
  }
  if memory or cpu then
    local groups = core.manager_groups(self.handle)
    self:_tell_of_groups(groups, memory, cpu)
    spec.join = core.manager_join_paths(self.handle, process, memory, cpu)
    spec.addresses = memory and not groups.memory and given.max_memory or 0
  end
  return spec
end

--- Has the core bound the process, which is not forked yet or has just declared itself.
---@param process userdata
---@param held titan.HeldLimits
function Manager._limit(_, process, held)
  core.process_limit(process, held.resources.max_memory or 0, held.resources.max_cpu or 0,
    held.named.memory, held.named.cpu)
end

--- The `limits` of get_process_info.
---@param service titan.Service
---@return titan.Limits
function Manager:_limits_info(service)
  local given, named = service.limits.resources, service.limits.named
  local memory_by, cpu_by = core.process_bounded_by(service.process)
  local info = { rlimits = given.rlimits }
  if given.max_memory then
    local by = { "allocator" }
    if core.process_info(service.process).isolation == "process" then
      by[2] = memory_by or "watch"
    end
    if named.memory and not memory_by then
      table.insert(by, 2, "rlimit_as")
    end
    info.memory = { max = given.max_memory, heap = service.limits.heap, by = by }
  end
  if given.max_cpu then
    info.cpu = { max = given.max_cpu, by = { cpu_by or "watch" } }
  end
  local timeout = self:_call_timeout(service)
  if timeout and timeout > 0 then
    info.timeout = { ms = timeout, by = "interrupt" }
  end
  return info
end

--- Of every call to it that says no other.
---@param service titan.Service
---@return integer|false ms
function Manager:_call_timeout(service)
  if service.options.timeout ~= nil then
    return service.options.timeout
  elseif service.class_timeout ~= nil then
    return service.class_timeout
  end
  return self.config.resources.timeout
end

return Manager
