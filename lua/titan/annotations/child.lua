--- `child = { ... }`: what the method returns is a child of the supervisor that declares it.
--
-- Only in titan.supervisor. The method is called once, when the supervisor is made, and returns
-- what is to be supervised: a module name, a file path, a class, or another supervisor. The table
-- says the rest of the child's specification, and its place among the others: `order`, then name.

local restarts = require "titan.config.restarts"

---@type table<string, titan.Schema>
local fields = {
  order = { kind = "number", default = 0, doc = "children are started from the least upwards" },
  options = { kind = "any", type = "table", allowed = "a table" },
  restart = {
    kind = "enum", values = { "permanent", "transient", "temporary" }, default = "permanent",
    doc = "after every end, after a crash, or never",
  },
  critical = { kind = "boolean", default = false, doc = "giving it up gives the supervisor up" },
  optional = { kind = "boolean", default = false, doc = "nobody waits for it; in no group" },
  shutdown_timeout = { kind = "duration", doc = "from asking it to stop to killing it; 0 kills" },
  max_restarts = restarts.partial.fields.max_restarts,
  window = restarts.partial.fields.window,
  delay = restarts.partial.fields.delay,
  backoff = restarts.partial_backoff,
}

---@type titan.Annotation
return {
  schema = { kind = "table", optional = true, fields = fields, doc = "a child of this supervisor" },
  apply = function(method, value)
    method.child = value
  end,
}
