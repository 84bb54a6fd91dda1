--- The `store` of a manager's config: the file behind what is to be durable.

local schema = require "titan.schema"
local shared = require "titan.config.shared"

local store = {}

---@class titan.StoreConfig
---@field kind "memory"|"sqlite" memory: nothing is durable but what says so itself
---@field path string of the file; relative to the manager's working directory
---@field busy_timeout integer ms to wait for another that writes to the file

local path = shared.path_schema "the file; opened when something durable is first asked for"
path.default = "titan.db"

---@type table<string, titan.Schema>
local fields = {
  kind = {
    kind = "enum", values = { "memory", "sqlite" }, default = "memory",
    pending_values = { manager = "the manager store", redis = "the redis store" },
  },
  path = path,
  busy_timeout = {
    kind = "duration", default = 5000, doc = "how long to wait while another writes to the file",
  },
}

---@type titan.Schema
local settings = { kind = "table", fields = fields }

--- `"sqlite"` is short for `{ kind = "sqlite" }`; what is checked is the long form.
---@type titan.Schema
store.complete = {
  kind = "one_of", default = "memory",
  of = {
    {
      kind = "enum", values = fields.kind.values, pending_values = fields.kind.pending_values,
      convert = function(kind)
        return schema.check(settings, { kind = kind }, "config.store")
      end,
    },
    settings,
  },
  doc = "where what outlives the manager is kept",
}

return store
