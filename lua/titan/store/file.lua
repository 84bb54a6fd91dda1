--- Keys and values in a file: what is put outlives the process.
--
-- A store has its file for itself: opening one that another process, or another store of
-- this one, has open raises `overloaded`. Every method but `open` may be called by any
-- number of tasks at once; what they ask for in one turn of the loop shares one
-- transaction, and one wait for the disk. When `put`, `put_new` or `remove` returns, it is
-- durable: also over a loss of power, unless `sync` is "normal". A task that is cancelled
-- while it waits takes nothing back.
--
-- An entry with a time to live is absent once that has passed. A clock that is set while
-- the store is open makes nothing expire early or late; see core/store/kv.h.

local core = require "titan.core"
local schema = require "titan.schema"
local shared = require "titan.config.shared"

local file = {}

---@class titan.store.FileOptions
---@field path string made if it is not there; its directory must be
---@field busy_timeout? titan.Duration how long `open` waits for whoever has the file; 2s
---@field sync? "full"|"normal" what a write waits for; "normal" may lose the last ones with power
---@field sweep_interval? titan.Duration how often an idle store looks for what has expired; 5s
---@field max_waiting? integer operations that may wait at once; 65536
---@field max_waiting_bytes? titan.Size their keys and values; 64MB

---@type titan.Schema
local options_schema = {
  kind = "table",
  fields = {
    path = shared.path_schema "the file; made if it is not there",
    busy_timeout = { kind = "duration", max = "1h", default = "2s",
      doc = "how long opening waits for whoever has the file" },
    sync = { kind = "enum", values = { "full", "normal" }, default = "full",
      doc = "whether a write waits for the disk itself" },
    sweep_interval = { kind = "duration", min = 1, max = "1h", default = "5s",
      doc = "how often an idle store looks for what has expired" },
    max_waiting = { kind = "integer", min = 1, max = 1 << 20, default = 65536,
      doc = "operations that may wait at once; more are refused" },
    max_waiting_bytes = { kind = "size", min = 1, max = "512MB", default = "64MB",
      doc = "their keys and values; also the limit of a single one" },
  },
}
options_schema.fields.path.required = true

---@class titan.store.File
---@field package handle userdata
---@field path string
local File = {}
File.__index = File
File.__name = "titan.store.File"

--- Opens the file; waits until it is. Raises `invalid_config` for a path where no store can
-- be, for a file of another kind and for one of a newer Titan; `overloaded` while another
-- has it; `protocol_error` when it is damaged; `limit_exceeded` when the disk is full.
---@param options titan.store.FileOptions
---@param where? string the path of the options in errors
---@return titan.store.File
function file.open(options, where)
  local checked = schema.check(options_schema, options, where or "store")
  checked.normal_sync = checked.sync == "normal"
  return setmetatable({
    handle = core.kv_open(checked.path, checked), path = checked.path,
  }, File)
end

---@param key string
---@return string? value
function File:get(key)
  return core.kv_get(self.handle, key)
end

--- Puts a value in the place of whatever is there.
---@param key string
---@param value string
---@param ttl_ms? integer nil: for ever
function File:put(key, value, ttl_ms)
  core.kv_put(self.handle, key, value, ttl_ms)
end

--- Puts a value unless there is one, in one step.
---@param key string
---@param value string
---@param ttl_ms? integer nil: for ever
---@return boolean put
---@return string? there the value that is there, and stays
function File:put_new(key, value, ttl_ms)
  return core.kv_put_new(self.handle, key, value, ttl_ms)
end

---@param key string
---@return boolean found
function File:remove(key)
  return core.kv_remove(self.handle, key)
end

--- Finishes what is under way and closes the file; waits until it is. Twice is once.
function File:close()
  core.kv_close(self.handle)
end

return file
