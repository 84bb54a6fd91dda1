--- A test body that runs as a Titan program and has a manager of its own, whose workers
--- print nothing and are not started again, and who keeps no spare one, so that what there is can
--- be counted: `it("adds", managed(function(pm) ... end))`.

local titan = require "titan"

---@param config table? of the manager
---@param fn fun(pm: titan.Manager)
---@return fun() test
return function(config, fn)
  if not fn then
    config, fn = {}, config
  end
  config.logs = config.logs or { format = "none" }
  config.restart_policy = config.restart_policy or { enabled = false }
  config.advanced = config.advanced or {}
  config.advanced.spare_worker = config.advanced.spare_worker or false
  return function()
    titan.run(function()
      local pm = titan.manager(config)
      local ok, err = xpcall(fn, function(why)
        return type(why) == "string" and debug.traceback(why) or why
      end, pm)
      if not ok then
        pcall(pm.stop_all, pm, 0) -- a pool would keep the run going
        error(err, 0)
      end
    end)
  end
end
