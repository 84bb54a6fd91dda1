--- The end of a worker.

local core = require "titan.core"

local ending = {}

-- One hook that fails must not keep the others from running.
---@param current titan.RunningWorker
local function run_hooks(current)
  for _, name in ipairs(current.class.method_names) do
    if current.class.methods[name].on_shutdown then
      local ok, err = xpcall(current.functions[name], debug.traceback, current.self)
      if not ok then
        io.stderr:write("titan: on_shutdown method ", name, " failed: ",
        require("titan.tasks").text_of(err), "\n")
      end
    end
  end
end

---@param current titan.RunningWorker
---@return boolean
local function has_something_to_do(current)
  for _, method in next, current.class.methods do
    if method.on_shutdown then
      return true
    end
  end
  return current.outbox ~= nil
end

--- Runs the on_shutdown methods, sends the last spans, then says that it has done so.
---@param current titan.RunningWorker? nil: it has not begun to start
function ending.begin(current)
  if not current or not current.self or not has_something_to_do(current) then
    return core.worker_hooks_done()
  end
  require("titan.tasks").go(function()
    run_hooks(current)
    if current.outbox then
      current.outbox:finish()
    end
    core.worker_hooks_done()
  end)
end

return ending
