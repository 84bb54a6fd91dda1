--- What a worker announces while it starts: another process sent it, so it is checked before
--- it is believed.

local schema = require "titan.schema"
local security = require "titan.config.security"
local shared = require "titan.config.shared"

local announced = {}

---@type table<string, titan.Schema>
local schemas = {
  -- Sent by a worker whose class wants something of the manager before init runs.
  declared = {
    kind = "table", required = true,
    fields = {
      name = shared.fields.name,
      startup_timeout = shared.fields.startup_timeout,
      resources = shared.fields.resources,
      dependencies = {
        kind = "list", default = {},
        of = {
          kind = "table",
          fields = {
            alias = { kind = "string", required = true },
            service = { kind = "string", required = true },
          },
        },
      },
    },
  },
  -- The numbers are those of the wire; false is for a private method.
  ready = {
    kind = "table", required = true,
    fields = {
      version = { kind = "string" },
      description = { kind = "string" },
      restart_policy = shared.fields.restart_policy,
      idempotent = { kind = "list", of = { kind = "string" }, default = {} },
      keyed = {
        kind = "map", default = {}, key = { kind = "string" },
        value = {
          kind = "table",
          fields = {
            store = { kind = "enum", values = { "manager", "sqlite" }, required = true },
            ttl = { kind = "integer", min = 1, required = true },
            max_entries = { kind = "integer", min = 1, required = true },
            digest = { kind = "boolean", required = true },
          },
        },
      },
      health = shared.fields.health,
      sandbox = security.announced,
      health_checks = {
        kind = "map", default = {}, key = { kind = "string" },
        value = { kind = "integer", min = 0, max = 0xFFFFFFFF },
      },
      methods = {
        kind = "map", required = true, key = { kind = "string" },
        value = {
          kind = "one_of",
          of = { { kind = "integer", min = 0 }, { kind = "enum", values = { false } } },
        },
      },
    },
  },
}

-- What most classes say when they are ready, for which no schema has to be walked.
---@type table<string, string>
local plain_types <const> = {
  version = "string", description = "string", methods = "table", health_checks = "table",
}

---@param said any
---@return boolean
local function is_plain(said)
  if type(said) ~= "table" or not said.methods then
    return false
  end
  for key, value in next, said do
    if type(value) ~= plain_types[key] then
      return false
    end
  end
  for name, number in next, said.methods do
    if type(name) ~= "string" or number ~= false and
      (math.type(number) ~= "integer" or number < 0) then
      return false
    end
  end
  return not said.health_checks or next(said.health_checks) == nil
end

-- As the schema makes it of this.
---@param said table
---@return table
local function plain_ready(said)
  return {
    version = said.version, description = said.description, methods = said.methods,
    health_checks = {}, idempotent = {}, keyed = {},
  }
end

--- A checked copy, or nil and what is wrong.
---@param kind "declared"|"ready"
---@param said any
---@return table?
---@return string? why
function announced.check(kind, said)
  if kind == "ready" and is_plain(said) then
    return plain_ready(said)
  end
  local ok, result = pcall(schema.check, schemas[kind], said, kind)
  if ok then
    return result
  end
  return nil, result.message
end

return announced
