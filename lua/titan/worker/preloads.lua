--- The modules that the manager's config has loaded before any class.

local core = require "titan.core"
local loading = core.use "titan.class.loading"
local worker = require "titan.worker"

local preloads = {}

--- Raises what a module raises.
---@param names string[] of modules, or paths of files
function preloads.load(names)
  worker.preloaded = {}
  for _, name in ipairs(names) do
    if name:find("/", 1, true) then
      worker.preloaded[name] = loading.run(name, name)
    else
      require(name)
    end
  end
end

return preloads
