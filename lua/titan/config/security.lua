--- The keys of `security`: what a process may do, and as whom.

local errors = require "titan.errors"

local security = {}

---@class titan.Security complete
---@field permissions titan.Permissions
---@field user? string name or number
---@field group? string name or number
---@field allowed_modules? string[]
---@field best_effort boolean

---@class titan.Permissions
---@field network boolean
---@field filesystem "none"|"read-only"|"read-write"
---@field env boolean|string[] false: the variables of the spawn and of the class alone
---@field spawn boolean

--- As a spec carries it: what the manager says, what the class, if the manager knows it, and what
--- the spawn; the later ones win.
---@class titan.SecurityLayers
---@field config? table
---@field class? table
---@field spawn? table

---@type table<string, titan.Schema>
local permissions = {
  network = { kind = "boolean", doc = "to open sockets; default true" },
  filesystem = {
    kind = "enum", values = { "none", "read-only", "read-write" },
    doc = 'to open files; default "read-write". "none": its modules alone',
  },
  env = {
    kind = "one_of",
    of = {
      { kind = "boolean" },
      {
        kind = "list",
        of = {
          kind = "string", pattern = "^[^=\0]+$",
          allowed = 'the name of an environment variable, without "=" and NUL',
        },
      },
    },
    allowed = "true, false, or a list of names of environment variables",
    doc = "to see the manager's environment variables, or those listed, and to change its own; "
      .. "default true",
  },
  spawn = { kind = "boolean", doc = "to start processes; default true" },
}

---@param what string
---@param doc string
---@return titan.Schema
local function identity(what, doc)
  return {
    kind = "one_of",
    of = {
      { kind = "string", pattern = "^[^\0:%s]+$", allowed = "the name of a " .. what },
      { kind = "integer", min = 0, max = 0xFFFFFFFE, convert = tostring },
    },
    allowed = string.format("the name of a %s or its number", what), doc = doc,
  }
end

--- Options that go over others: any key may be left out, and without any of them there is no
--- sandbox.
---@type titan.Schema
security.partial = {
  kind = "table", optional = true, doc = "what a process may do, and as whom",
  fields = {
    permissions = { kind = "table", optional = true, fields = permissions },
    user = identity("user", "as whom it runs; the manager's own user if left out"),
    group = identity("group", "of which group it is; the user's own if left out"),
    allowed_modules = {
      kind = "list",
      of = {
        kind = "string", pattern = "^[%w_-][%w_.-]*%*?$",
        allowed = 'the name of a module, or the beginning of names, such as "socket.*"',
        convert = function(name)
          if name:find("*", 1, true) and not name:find("%.%*$") then
            return nil, 'a "*" stands for what follows a dot, as in "socket.*"'
          end
          return name
        end,
      },
      doc = "what require may load besides titan and Lua's own libraries; everything if left out",
    },
    best_effort = {
      kind = "boolean", doc = "do what this system can, instead of failing; default false",
    },
  },
}

local DEFAULTS <const> = {
  network = true, filesystem = "read-write", env = true, spawn = true,
}

-- Lists are values: the nearer one is the whole of it.
---@param below table
---@param above table?
---@return table
local function over(below, above)
  local merged = {}
  for _, layer in ipairs { below, above or {} } do
    for key, value in pairs(layer) do
      merged[key] = key == "permissions" and over(merged[key] or {}, value) or value
    end
  end
  return merged
end

--- The layers, for a spec; nil when none of them says anything. Raises `invalid_config` for what
--- is not a process of its own: all that is restricted is the process.
---@param isolation string
---@param config table?
---@param class table?
---@param spawn table?
---@return titan.SecurityLayers?
function security.layers(isolation, config, class, spawn)
  if not (config or class or spawn) then
    return nil
  end
  if isolation ~= "process" then
    local path = spawn and "options.security" or class and "security" or "config.security"
    errors.raise("invalid_config", string.format('%s: a sandbox needs isolation = "process", and '
      .. "this is %q, which shares the manager's process", path, isolation),
      { details = { path = path, given = isolation, allowed = "process" } })
  end
  return { config = config, class = class, spawn = spawn }
end

--- What the layers come to; nil when none of them says anything.
---@param layers titan.SecurityLayers?
---@param class table? of a class that the manager did not know
---@return titan.Security?
function security.merged(layers, class)
  layers = layers or {}
  class = layers.class or class
  if not (layers.config or class or layers.spawn) then
    return nil
  end
  local base = { permissions = DEFAULTS, best_effort = false }
  return over(over(over(base, layers.config), class), layers.spawn)
end

-- What a worker says of it.
---@type titan.Schema
security.announced = {
  kind = "table", optional = true,
  fields = {
    permissions = { kind = "table", fields = permissions },
    user = { kind = "string" },
    group = { kind = "string" },
    allowed_modules = { kind = "list", of = { kind = "string" } },
    seccomp = { kind = "boolean", required = true },
    landlock = {
      kind = "one_of", required = true,
      of = { { kind = "integer", min = 1 }, { kind = "enum", values = { false } } },
    },
    missing = { kind = "string" },
  },
}

--- For get_process_info: what the worker says is in force, with what it was told to be wherever the
--- manager knows that.
---@param layers titan.SecurityLayers?
---@param said table? checked
---@return table?
function security.report(layers, said)
  local told = security.merged(layers)
  if not said or not told then
    return said
  end
  return over(said, {
    permissions = told.permissions, user = told.user, group = told.group,
    allowed_modules = told.allowed_modules,
  })
end

return security
