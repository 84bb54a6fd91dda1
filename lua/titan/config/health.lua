--- The keys of `health`: how often a process is asked how it is, and what follows.

local layers = require "titan.config.layers"

local health = {}

---@class titan.HealthOptions complete; every duration in ms
---@field enabled boolean false: checks are made only when somebody asks for one
---@field interval integer from the end of one check to the begin of the next
---@field timeout integer of one check
---@field failures integer in a row, that make a process unhealthy
---@field hang_after integer without progress, after which silence is a hang
---@field restart_hung boolean whether a process that hangs is killed, and so started again

local HANG_AFTER <const> = 30000 -- ms, where calls have no deadline

---@type table<string, titan.Schema>
local fields = {
  enabled = {
    kind = "boolean", default = true, doc = "whether it is asked without anybody wanting to know",
  },
  interval = { kind = "duration", default = 30000, min = 1, max = "24h" },
  timeout = { kind = "duration", default = 5000, min = 1, max = "24h", doc = "of one check" },
  failures = {
    kind = "integer", default = 3, min = 1, max = 1000, doc = "in a row, until it is unhealthy",
  },
  hang_after = {
    kind = "duration", min = 1, max = "24h",
    doc = "without progress, until silence is a hang; the deadline of its calls if left out",
  },
  restart_hung = { kind = "boolean", default = true, doc = "whether one that hangs is killed" },
}

local defaults = {}
for name, field in pairs(fields) do
  defaults[name] = field.default
end

---@param off table what `false` stands for
---@return titan.Schema
local function switch(off)
  return {
    kind = "enum", values = { false },
    convert = function()
      return layers.over(off, { enabled = false })
    end,
  }
end

local DOC <const> = "how often it is asked how it is; false: never by itself"

--- Options that go over others: any key may be left out.
---@type titan.Schema
health.partial = {
  kind = "one_of", doc = DOC,
  of = { { kind = "table", fields = layers.partial(fields) }, switch {} },
}

--- Complete options, but for hang_after.
---@type titan.Schema
health.complete = {
  kind = "one_of", default = {}, doc = DOC,
  of = { { kind = "table", fields = fields }, switch(defaults) },
}

--- Complete options: each of the layers, which may be nil, over the ones before it.
---@param call_timeout integer? ms, what a call may take; nil or 0 for no end
---@param base titan.HealthOptions but for hang_after
---@param ... table?
---@return titan.HealthOptions
function health.merged(call_timeout, base, ...)
  local merged = layers.over(layers.merged(base, ...))
  if not merged.hang_after then
    merged.hang_after = call_timeout and call_timeout > 0 and call_timeout or HANG_AFTER
  end
  return merged
end

return health
