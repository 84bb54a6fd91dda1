--- The keys of a restart policy: what happens after a crash.

local layers = require "titan.config.layers"

local restarts = {}

---@class titan.RestartPolicy complete; every duration in ms
---@field enabled boolean
---@field max_restarts integer inside one window; one more, and it is given up
---@field window integer
---@field delay integer before the first restart of a window
---@field backoff titan.Backoff before those after it

---@class titan.Backoff
---@field type "exponential"|"linear"|"fixed"
---@field initial integer before the second restart of a window
---@field max integer
---@field factor number of exponential growth
---@field jitter number every wait is spread by plus and minus this share of it

---@type table<string, titan.Schema>
local backoff = {
  type = { kind = "enum", values = { "exponential", "linear", "fixed" }, default = "exponential" },
  initial = { kind = "duration", default = 1000 },
  max = { kind = "duration", default = 30000 },
  factor = { kind = "number", min = 1, default = 2 },
  jitter = { kind = "number", min = 0, max = 1, default = 0.1, doc = "share of the delay" },
}

---@type table<string, titan.Schema>
local policy = {
  enabled = { kind = "boolean", default = true },
  max_restarts = { kind = "integer", min = 0, max = 1000000, default = 3,
    doc = "inside one window" },
  window = { kind = "duration", min = 1, default = 60000 },
  delay = { kind = "duration", default = 1000, doc = "before the first restart" },
}

local BACKOFF_DOC <const> = "how the delay grows with the restarts inside the window"
local DOC <const> = "what happens after a crash"

--- A backoff that goes over another: any key may be left out.
---@type titan.Schema
restarts.partial_backoff = {
  kind = "table", optional = true, fields = layers.partial(backoff), doc = BACKOFF_DOC,
}

--- A complete backoff with other defaults.
---@param defaults titan.Backoff
---@return titan.Schema
function restarts.backoff(defaults)
  local fields = {}
  for name, field in pairs(backoff) do
    fields[name] = layers.over(field, { default = defaults[name] })
  end
  return { kind = "table", fields = fields, doc = BACKOFF_DOC }
end

--- A policy that goes over another.
---@type titan.Schema
restarts.partial = { kind = "table", optional = true, fields = layers.partial(policy), doc = DOC }
restarts.partial.fields.backoff = restarts.partial_backoff

policy.backoff = { kind = "table", fields = backoff, doc = BACKOFF_DOC }

--- A complete policy.
---@type titan.Schema
restarts.complete = { kind = "table", fields = policy, doc = DOC }

--- A complete policy: each of the layers, which may be nil, over the ones before it.
---@param base titan.RestartPolicy
---@param ... table?
---@return titan.RestartPolicy
function restarts.merged(base, ...)
  return layers.merged(base, ...)
end

return restarts
