--- The environment and the directory of a worker.

local core = require "titan.core"
local errors = require "titan.errors"

local surroundings = {}

local setenv = core.setenv -- what a sandbox puts in its place is for classes

--- Raises `spawn_failed`.
---@param env table<string, string|false>
---@param cwd string?
function surroundings.set(env, cwd)
  for name, value in pairs(env) do
    local ok, why = setenv(name, value or nil)
    if not ok then
      errors.raise("spawn_failed", string.format("cannot set %s: %s", name, why))
    end
  end
  if cwd then
    local ok, why = core.chdir(cwd)
    if not ok then
      errors.raise("spawn_failed", string.format("cannot change to the directory %q: %s", cwd, why))
    end
  end
end

--- What the class asks for, where the spawn did not: that is set already, and wins.
---@param loaded titan.Class
---@param spec table
function surroundings.set_for_class(loaded, spec)
  local env = {}
  for name, value in pairs(loaded.env) do
    if spec.env[name] == nil then
      env[name] = value
    end
  end
  surroundings.set(env, not spec.cwd and loaded.cwd or nil)
end

--- It is too late for another: the class runs in this one.
---@param loaded titan.Class
function surroundings.refuse_isolation(loaded)
  errors.raise("invalid_config", string.format("the class says isolation = %q, which the manager "
    .. "cannot know of a class that it does not load: say it where it is spawned, or spawn what "
    .. "require returns", loaded.isolation))
end

return surroundings
