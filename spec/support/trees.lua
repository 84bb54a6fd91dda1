--- Supervised children that can be made to live as a test wants it, and what becomes of them.

local managed = require "support.managed"
local proc = require "support.proc"
local restarts = require "support.restarts"

local trees = {}

trees.PHOENIX = "fault_workers.phoenix"

--- A test with a manager whose restarts come soon; `config` goes over that. What is left running is
--- stopped.
---@param config table?
---@param fn fun(pm: titan.Manager)
---@return fun() test
function trees.test(config, fn)
  if not fn then
    config, fn = {}, config
  end
  config.restart_policy = config.restart_policy or restarts.soon()
  return managed(config, function(pm)
    fn(pm)
    pm:stop_all() -- a supervisor that runs would keep the program running
  end)
end

--- The specification of a child that is a phoenix. What is said of `plan`, `stop` and `directory`
--- goes to its init, the rest is the child's.
---@param name string
---@param changes table?
---@return table
function trees.child(name, changes)
  local spec, init = { name = name, process = trees.PHOENIX }, {}
  for key, value in pairs(changes or {}) do
    local of_init = key == "plan" or key == "stop" or key == "directory"
    local target = of_init and init or spec
    target[key] = value
  end
  spec.options = spec.options or {}
  spec.options.options = init
  return spec
end

--- Children of these names.
---@param ... string
---@return table[]
function trees.children(...)
  local specs = {}
  for i, name in ipairs { ... } do
    specs[i] = trees.child(name)
  end
  return specs
end

--- Writes down what happens to processes, in order: "ready a", "crash a", "stop a".
---@param pm titan.Manager
---@return string[] told
function trees.record(pm)
  local told = {}
  for _, what in ipairs { "ready", "crash", "stop" } do
    pm:on("process:" .. what, function(info)
      told[#told + 1] = what .. " " .. info.name
    end)
  end
  return told
end

--- Waits until so many things were written down, and forgets them.
---@param told string[]
---@param count integer
---@return string[]
function trees.take(told, count)
  proc.await(count .. " events", function()
    return #told >= count
  end)
  local taken = table.move(told, 1, #told, 1, {})
  for i = #told, 1, -1 do
    told[i] = nil
  end
  return taken
end

--- What which_children says of one.
---@param supervisor titan.Supervisor
---@param name string
---@return table?
function trees.entry(supervisor, name)
  for _, entry in ipairs(supervisor:which_children()) do
    if entry.name == name then
      return entry
    end
  end
  return nil
end

--- Waits until a child has this status.
---@param supervisor titan.Supervisor
---@param name string
---@param status string
---@return table entry
function trees.await_child(supervisor, name, status)
  return proc.await(name .. " " .. status, function()
    local entry = trees.entry(supervisor, name)
    return entry and entry.status == status and entry
  end)
end

--- The statuses of the children, left to right: "a running, b failed".
---@param supervisor titan.Supervisor
---@return string
function trees.statuses(supervisor)
  local words = {}
  for i, entry in ipairs(supervisor:which_children()) do
    words[i] = entry.name .. " " .. entry.status
  end
  return table.concat(words, ", ")
end

--- The pids of processes by their names.
---@param pm titan.Manager
---@param ... string
---@return table<string, integer>
function trees.pids(pm, ...)
  local pids = {}
  for _, name in ipairs { ... } do
    local info = pm:get_process_info(name)
    pids[name] = info and info.pid
  end
  return pids
end

return trees
