--- The manager's config and the options of `pm:spawn`: every key, its meaning and its
--- default. The tables below are the reference; `config.check` and
--- `config.spawn_options` only apply them.
--
-- A key marked `pending` has a meaning but no effect yet. Saying its default is
-- harmless and therefore accepted; asking for anything else is refused, since it would
-- be ignored in silence.

local health = require "titan.config.health"
local resources = require "titan.config.resources"
local restarts = require "titan.config.restarts"
local schema = require "titan.schema"
local security = require "titan.config.security"
local shared = require "titan.config.shared"
local store = require "titan.config.store"
local tracing = require "titan.config.tracing"

local config = {}

local STARTUP_TIMEOUT <const> = 10000 -- ms

-- The manager's config ---------------------------------------------------------------

---@type table<string, titan.Schema>
local manager_fields = {
  isolation = shared.with_default(shared.fields.isolation, "process"),
  transport = shared.fields.transport,
  host = {
    kind = "string", default = "127.0.0.1", pending = "the tcp transport",
    doc = "address that tcp and websocket listen on",
  },
  tls = {
    kind = "any", pending = "the tcp transport",
    doc = "certificate, key and authority for tcp and websocket",
  },
  preload = {
    kind = "list", of = shared.path_schema "a module name or a file path", default = {},
    doc = "modules that are loaded once, before any worker is forked",
  },
  store = store.complete,
}

manager_fields.restart_policy = restarts.complete

manager_fields.security = security.partial

manager_fields.resources = resources.complete(
  shared.deadline_schema("of every call that says no other; false for none", 30000))

manager_fields.monitoring = {
  kind = "table", doc = "what the manager watches by itself",
  fields = {
    health_check = health.complete,
    metrics = {
      kind = "boolean", default = true,
      doc = "whether workers keep latencies; calls are always counted",
    },
    tracing = tracing.schema,
  },
}

manager_fields.testing = {
  kind = "table",
  fields = {
    use_mock_spawner = {
      kind = "boolean", default = false,
      doc = "run workers inside this process: see titan.testing.mock_spawner",
    },
  },
}

manager_fields.advanced = {
  kind = "table",
  fields = {
    graceful_shutdown_timeout = {
      kind = "duration", default = 5000,
      doc = "from asking a process to stop until it is killed; 0 kills at once",
    },
    liveness_sweep_interval = {
      kind = "duration", min = 1, default = 30000,
      doc = "how often the kernel is asked about every process",
    },
    interrupt_grace = {
      kind = "duration", min = 1, default = 1000,
      doc = "from interrupting a method whose time is over until its worker is killed",
    },
    spare_worker = {
      kind = "boolean", default = true,
      doc = "keep one worker forked ahead, so that the next one starts sooner",
    },
    threads = {
      kind = "integer", min = 1, max = 256,
      doc = "native threads that workers of isolation \"thread\" share; as many as there are "
        .. "processors if left out",
    },
    spin_us = {
      kind = "integer", min = 0, max = 1000, default = 0,
      doc = "microseconds for which threads look for messages before they sleep, at the most",
    },
    handle_signals = { kind = "boolean", default = true, doc = "stop gracefully on TERM and INT" },
    temp_dir = { kind = "string", pending = "temporary files" },
  },
}

manager_fields.logs = {
  kind = "table", doc = "what the workers print, as the manager prints it on its stderr",
  fields = {
    format = {
      kind = "enum", values = { "auto", "text", "json", "none" }, default = "auto",
      doc = "auto is text on a terminal and JSON lines otherwise",
    },
  },
}

manager_fields.limits = {
  kind = "table", doc = "what one peer may send; more ends its connection",
  fields = {
    frame = { kind = "size", min = "1KB", max = "1GB", default = "64MB", doc = "one message" },
    nesting = { kind = "integer", min = 1, max = 200, default = 64, doc = "tables in tables" },
    outstanding = {
      kind = "integer", min = 1, max = 65536, default = 65536,
      doc = "calls of one connection that have no answer yet",
    },
  },
}

---@type titan.Schema
local manager_schema = { kind = "table", fields = manager_fields }

-- The options of pm:spawn --------------------------------------------------------------

---@type table<string, titan.Schema>
local spawn_fields = {
  options = {
    kind = "any", type = "table", default = {}, allowed = "a table",
    doc = "handed to the class's `init`",
  },
  timeout = shared.deadline_schema "of every call to this process that says no other",
  shutdown_timeout = {
    kind = "duration",
    doc = "instead of the config's graceful_shutdown_timeout; 0 kills at once",
  },
}

for name, field in pairs(shared.fields) do
  spawn_fields[name] = field
end

---@type titan.Schema
local spawn_schema = { kind = "table", fields = spawn_fields }

--- What may be written: for the manager, and for a spawn.
config.schemas = { manager = manager_schema, spawn = spawn_schema }

-- What they become ---------------------------------------------------------------------

---@alias titan.Isolation "process"|"worker"|"thread"

---@class titan.Config every duration in ms, every size in bytes
---@field isolation titan.Isolation
---@field transport "unix"
---@field host string
---@field preload string[]
---@field restart_policy titan.RestartPolicy
---@field resources titan.Resources
---@field monitoring table
---@field testing table
---@field advanced titan.AdvancedConfig
---@field logs { format: "auto"|"text"|"json"|"none" }
---@field limits { frame: integer, nesting: integer, outstanding: integer }
---@field store titan.StoreConfig
---@field security? table what it says, under what classes and spawns say

---@class titan.AdvancedConfig
---@field graceful_shutdown_timeout integer ms
---@field liveness_sweep_interval integer ms
---@field interrupt_grace integer ms
---@field spare_worker boolean
---@field threads? integer
---@field spin_us integer
---@field handle_signals boolean

---@class titan.SpawnOptions every duration in ms
---@field name? string
---@field options table the very table that was given
---@field env table<string, string|false>
---@field cwd? string
---@field startup_timeout integer
---@field dependencies titan.Dependency[] sorted by alias
---@field timeout? integer|false
---@field shutdown_timeout? integer
---@field restart_policy? table what it says, over what the class and the config say
---@field health? table what it says, over what the class and the config say
---@field resources? table what it says, over what the class and the config say
---@field security? table what it says, over what the class and the config say
---@field isolation? titan.Isolation what it says, or the class; else the config decides
---@field transport "unix"

--- The complete config: what was given, over the defaults. Raises `invalid_config`.
---@param given? table
---@return titan.Config
function config.check(given)
  return schema.check(manager_schema, given, "config")
end

---@param below titan.Dependency[]
---@param above titan.Dependency[]
---@return titan.Dependency[] both; for an alias in both, the one of `above`
local function merged_dependencies(below, above)
  local services = {}
  for _, list in ipairs { below, above } do
    for _, dependency in ipairs(list) do
      services[dependency.alias] = dependency.service
    end
  end
  return shared.dependencies(services)
end

--- The complete options of one spawn. Raises `invalid_config`.
--
-- What the options leave out, the class decides: `startup_timeout` and `cwd` as a
-- whole, `env` and `dependencies` key by key.
---@param given? table
---@param class? titan.Class
---@param where? string the path of the options; "options" unless told
---@return titan.SpawnOptions
function config.spawn_options(given, class, where)
  local options = schema.check(spawn_schema, given, where or "options")
  resources.settle(options, where or "options")
  local declared = class or { env = {}, dependencies = {} }
  for _, said in ipairs { options.resources or {}, declared.resources or {} } do
    if options.timeout == nil then
      options.timeout = said.timeout
    end
  end
  options.startup_timeout = options.startup_timeout or declared.startup_timeout or STARTUP_TIMEOUT
  options.cwd = options.cwd or declared.cwd
  options.isolation = options.isolation or declared.isolation
  options.dependencies = merged_dependencies(declared.dependencies, options.dependencies)
  for variable, value in pairs(declared.env) do
    if options.env[variable] == nil then
      options.env[variable] = value
    end
  end
  return options
end

return config
