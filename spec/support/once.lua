--- A test body that has workers of spec/workers/once.lua, and the notes they make of each run:
--- `it("runs once", once({ size = 2 }, function(pool, notes, pm) ... end))`.

local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"

-- What crashes comes back at once.
local EAGER <const> = { delay = 0, max_restarts = 100000, backoff = { initial = 0, max = 1 } }

---@class spec.Notes
---@field path string what the workers are given as `notes`
---@field directory string
local Notes = {}
Notes.__index = Notes

--- The pids of the processes in which the method ran with this argument, in their order.
---@param what any
---@return integer[]
function Notes:pids(what)
  local pids = {}
  for line in (proc.read(self.path) or ""):gmatch "[^\n]+" do
    local noted, pid = line:match "^(.*) (%d+)$"
    pids[#pids + 1] = noted == tostring(what) and math.tointeger(pid) or nil
  end
  return pids
end

--- How often it ran.
---@param what any
---@return integer
function Notes:runs(what)
  return #self:pids(what)
end

--- Waits until it has begun to run so often.
---@param what any
---@param count integer
---@return integer pid of the last one
function Notes:await(what, count)
  return proc.await(string.format("run %d of %s", count, what), function()
    local pids = self:pids(what)
    return #pids >= count and pids[count]
  end)
end

--- Lets those go on that wait, and die no more those that die once.
---@param what "go"|"died"
function Notes:say(what)
  assert(io.open(self.path .. "." .. what, "w")):close()
end

local once = {}

--- Notes of a test of its own; `remove` them.
---@return spec.Notes
function once.notes()
  local directory = proc.directory()
  return setmetatable({ directory = directory, path = directory .. "/notes" }, Notes)
end

function Notes:remove()
  proc.remove(self.directory)
end

---@param fn fun(notes: spec.Notes, pm: titan.Manager)
---@param config? table of the manager
---@return fun() test
function once.manager(fn, config)
  return function()
    local notes = once.notes()
    config = config or {}
    config.restart_policy = EAGER
    config.store = { kind = "sqlite", path = notes.directory .. "/answers.db", busy_timeout = 50 }
    local ok, err = xpcall(managed(config, function(pm)
      fn(notes, pm)
      pm:stop_all(0)
    end), function(why)
      return type(why) == "string" and debug.traceback(why) or why
    end)
    notes:remove()
    if not ok then
      error(err, 0)
    end
  end
end

--- Options of a worker or of a pool.
---@param notes spec.Notes
---@param more? table
---@return table
function once.options(notes, more)
  local options = { options = { notes = notes.path } }
  for key, value in pairs(more or {}) do
    options[key] = value
  end
  return options
end

---@param pm titan.Manager
---@param notes spec.Notes
---@param more? table
---@return table
function once.pool(pm, notes, more)
  local options = { size = 2, spawn_options = { options = { notes = notes.path } } }
  for key, value in pairs(more or {}) do
    options[key] = value
  end
  return pm:create_pool("workers.once", options)
end

--- Kills a worker as nothing else can.
---@param pid integer
function once.kill(pid)
  assert(luv.kill(pid, "sigkill"))
end

return setmetatable(once, {
  __call = function(_, options, fn)
    return once.manager(function(notes, pm)
      fn(once.pool(pm, notes, options), notes, pm)
    end)
  end,
})
