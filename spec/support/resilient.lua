--- A test body that has a worker of spec/workers/resilient.lua, and a function that waits until so
--- many of its calls wait: `it("waits", resilient(function(worker, await_waiting, pm) ... end))`.

local managed = require "support.managed"
local titan = require "titan"

---@param fn fun(worker: table, await_waiting: fun(count: integer), pm: titan.Manager)
---@return fun() test
return function(fn)
  return managed(function(pm)
    local worker = pm:spawn "workers.resilient"
    fn(worker, function(count)
      while select(2, worker:count()) ~= count do
        titan.sleep(1)
      end
    end, pm)
  end)
end
