--- A test body that has a pool of spec/workers/pooled.lua: `it("calls", pooled({ size = 2 },
--- function(pool, pm) ... end))`. What is left of it is stopped at the end.

local titan = require "titan"

-- What crashes comes back at once.
local EAGER <const> = { delay = 1, max_restarts = 1000, backoff = { initial = 1, max = 5 } }

---@param options table|fun(): table of the pool
---@param fn fun(pool: table, pm: titan.Manager)
---@param restart_policy? table of the manager
---@return fun() test
return function(options, fn, restart_policy)
  return function()
    titan.run(function()
      local pm = titan.manager {
        logs = { format = "none" }, restart_policy = restart_policy or EAGER,
      }
      local made = type(options) == "function" and options() or options
      local ok, err = xpcall(function()
        fn(pm:create_pool("workers.pooled", made), pm)
      end, function(why)
        return type(why) == "string" and debug.traceback(why) or why
      end)
      pm:stop_all(0)
      if not ok then
        error(err, 0)
      end
    end)
  end
end
