--- Applies `security` inside the worker, before it runs any code of its class: the kernel's part
--- (core/spawn/sandbox.h), the environment, and what `require` may load.
--
-- A class that the manager did not know before, since it was named by its module, says its own
-- `security` only when it is loaded: that is put on top then, and can only take more away.

local core = require "titan.core"
local errors = require "titan.errors"
local modules = require "titan.worker.modules"
local security = require "titan.config.security"

local sandbox = {}

-- What is in force, as titan.config.security announces it.
---@type table?
local active

-- What a module's file is looked for in. Of the directories of the search path, the working
-- directory itself is left out: `./?.lua` would open whatever else it holds.
---@param file string of the class
---@return string[]
local function readable(file)
  local paths, seen = { file }, {}
  for template in (package.path .. ";" .. package.cpath):gmatch("[^;]+") do
    local directory = template:match "^([^?]*)/[^/]*%?"
    if directory and directory ~= "" and directory ~= "." and not seen[directory] then
      seen[directory] = true
      paths[#paths + 1] = directory
    elseif not template:find("?", 1, true) then
      paths[#paths + 1] = template -- such as /usr/lib/x86_64-linux-gnu/lua/5.4/loadall.so
    end
  end
  return paths
end

-- Env -----------------------------------------------------------------------------------

---@param what string
---@return fun()
local function refusing(what)
  return function()
    errors.raise("unauthorized", what .. ": the environment of this worker cannot be changed "
      .. "(security.permissions.env)")
  end
end

local function patch_luv(luv)
  luv.os_setenv = refusing "os_setenv"
  luv.os_unsetenv = refusing "os_unsetenv"
  return luv
end

-- Luv is loaded when it is first asked for, which a class does.
local function guard_luv()
  local open = package.preload.luv or core.embedded_loader "luv"
  if package.loaded.luv then
    patch_luv(package.loaded.luv)
  elseif open then
    package.preload.luv = function(...)
      return patch_luv(open(...))
    end
  end
end

---@param allowed boolean|string[]
---@param own table<string, string|false> what the spawn has set
local function restrict_env(allowed, own)
  if allowed == true then
    return
  end
  local names = { table.unpack(allowed or {}) }
  for name in pairs(own) do
    names[#names + 1] = name
  end
  core.environment_keep(names)
  core.setenv = refusing "setenv"
  guard_luv()
end

-- The C library says "Cannot allocate memory" for a process that it may not make.
local function explain_popen()
  rawset(io, "popen", function(command)
    return nil, tostring(command) .. ": Operation not permitted (security.permissions.spawn)", 1
  end)
end

-- What comes on top of what is in force: neither gives back what the other has taken.

local STRICTNESS <const> = { ["read-write"] = 1, ["read-only"] = 2, none = 3 }

---@param before titan.Permissions
---@param now titan.Permissions
---@return titan.Permissions
local function both(before, now)
  local is_stricter = STRICTNESS[now.filesystem] > STRICTNESS[before.filesystem]
  return {
    network = before.network and now.network, spawn = before.spawn and now.spawn,
    filesystem = is_stricter and now.filesystem or before.filesystem,
    env = now.env ~= true and now.env or before.env,
  }
end

-- All of it -----------------------------------------------------------------------------

---@param wanted titan.Security
---@param spec table
local function restrict(wanted, spec)
  local may = active and both(active.permissions, wanted.permissions) or wanted.permissions
  restrict_env(may.env, spec.env)
  if not may.spawn then
    explain_popen()
  end
  local is_same = active and active.user == wanted.user and active.group == wanted.group
  local report = core.sandbox_apply {
    network = may.network, filesystem = may.filesystem, spawn = may.spawn,
    user = not is_same and wanted.user or nil, group = not is_same and wanted.group or nil,
    best_effort = wanted.best_effort, readable = readable(spec.file),
  }
  report.permissions, report.user, report.group = may, wanted.user, wanted.group
  report.allowed_modules = wanted.allowed_modules
  active = report
end

--- Called before the class is loaded.
---@param spec table as titan.manager writes it
---@return table? globals for the class, when they are not Lua's own
function sandbox.apply(spec)
  local wanted = security.merged(spec.security)
  if not wanted then
    return nil
  end
  restrict(wanted, spec)
  return wanted.allowed_modules and modules.globals(wanted.allowed_modules, spec)
end

--- Called when the class is loaded and has run nothing but its module.
---@param spec table
---@param class titan.Class
function sandbox.tighten(spec, class)
  if not class.security or spec.security and spec.security.class then
    return
  end
  local wanted = security.merged(spec.security, class.security) --[[@as titan.Security]]
  if wanted.allowed_modules and not (active and active.allowed_modules) then
    errors.raise("invalid_config", "security.allowed_modules: a class that is named by its module "
      .. "is loaded already when it says what it may load; say it in the options of spawn or in "
      .. "the manager's config")
  end
  wanted.allowed_modules = active and active.allowed_modules
  restrict(wanted, spec)
end

--- What is in force; nil without a sandbox.
---@return table?
function sandbox.report()
  return active
end

return sandbox
