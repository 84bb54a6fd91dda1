--- Tests that share a manager: each is a function of it, and they run one after the other in one
--- program, once the first of them is asked for. Each leaves no process behind. What a real manager
--- costs is paid once for all of a `describe`:
---
---     local shares = shared { ... }
---     it("adds", shares(function(pm) ... end))

local titan = require "titan"

---@param why any
---@return any
local function traced(why)
  return type(why) == "string" and debug.traceback(why) or why
end

---@param config table of the manager
---@return fun(fn: fun(pm: titan.Manager)): fun() shares gives a test
return function(config)
  config.logs = config.logs or { format = "none" }
  config.restart_policy = config.restart_policy or { enabled = false }
  config.advanced = config.advanced or { spare_worker = false }
  local cases, outcomes = {}, nil

  local function run()
    outcomes = {}
    titan.run(function()
      local pm = titan.manager(config)
      for i, fn in ipairs(cases) do
        outcomes[i] = { xpcall(fn, traced, pm) }
        pcall(pm.stop_all, pm, 0)
      end
    end)
  end

  return function(fn)
    local index = #cases + 1
    cases[index] = fn
    return function()
      if not outcomes then
        run()
      end
      local outcome = outcomes[index] or { false, "an earlier test has ended the program" }
      if not outcome[1] then
        error(outcome[2], 0)
      end
    end
  end
end
