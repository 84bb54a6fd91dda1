--- Where an annotation keeps what outlives a call.
--
-- Kinds: "memory" (in this process), "manager" (in the manager, shared by its workers), "sqlite"
-- (in the manager, with a file behind it). All have the methods of titan.store.memory: get, put,
-- remove, claim, settle, abandon, take, close. In memory a value may be anything but nil; the
-- others take strings.

local errors = require "titan.errors"
local memory = require "titan.store.memory"
local remote = require "titan.store.remote"
local tasks = require "titan.tasks"
local text = require "titan.text"

local store = {}

--- What a schema says of the option `store`.
---@param default "memory"|"manager"|"sqlite"
---@param never_durable? string what it is that is not kept in a file: "durable limits"
---@return titan.Schema
function store.schema(default, never_durable)
  return {
    kind = "enum", default = default,
    values = { "memory", "manager", not never_durable and "sqlite" or nil },
    pending_values = { redis = "the redis store", sqlite = never_durable },
    doc = "where it is kept: in each worker, in the manager for all, or in a file",
  }
end

--- The space of what an annotation keeps for a method of a service.
---@param annotation string
---@param place { scope: string, method: string }
---@return string
function store.space(annotation, place)
  return string.format("%s %s.%s", annotation, place.scope, place.method)
end

--- Opens a store. Nothing is asked of the manager before the first use. Raises `invalid_config`.
---@param kind "memory"|"manager"|"sqlite"
---@param options? { space: string?, max_entries: integer? } those who say the same space share what
--- is in it; in memory every opening has a space of its own. max_entries: of the space
---@return table
function store.open(kind, options)
  options = options or {}
  if kind == "memory" then
    return memory.new { max_entries = options.max_entries }
  elseif kind == "manager" or kind == "sqlite" then
    local owner = tasks.owner() -- a worker of titan.testing's has the manager at hand
    return (owner and owner.open_store or remote.new)(kind, options.space or "",
      options.max_entries)
  elseif kind == "redis" then
    errors.raise("invalid_config", text.not_built "the redis store")
  end
  errors.raise("invalid_config", "no store is called " .. text.given(kind))
end

return store
