--- The options of `pm:create_pool`: every key, its meaning and its default.

local breaker = require "titan.config.breaker"
local core = require "titan.core"
local health = require "titan.config.health"
local layers = require "titan.config.layers"
local schema = require "titan.schema"
local shared = require "titan.config.shared"

local pool = {}

local WORKERS_MAX <const> = 1024
local WEIGHT_MAX <const> = 1 << 20
local GROWTH_COOLDOWN <const> = 5000 -- ms
local NO_MAX <const> = 0xFFFFFFFF

---@param doc string
---@return titan.Schema
local function count(doc)
  return { kind = "integer", min = 1, max = WORKERS_MAX, doc = doc }
end

---@type table<string, titan.Schema>
local auto_scale_fields = {
  enabled = { kind = "boolean", default = true },
  interval = { kind = "duration", min = 1, default = 5000, doc = "between two decisions" },
  queue = { kind = "number", min = 0, doc = "calls that wait, per worker" },
  busy = { kind = "number", min = 0, max = 1,
    doc = "calls under way, as a share of what max_concurrency allows" },
  cpu = { kind = "number", min = 0, max = 1, doc = "of a processor, a worker's mean" },
  latency = { kind = "duration", min = 1, doc = "that 95 of 100 calls stay below" },
  memory = { kind = "size", min = "1MB", doc = "of a worker; max times that is for all" },
  cooldown = { kind = "duration", default = 30000,
    doc = "how long the pool is larger than needed before it shrinks by one" },
  growth_cooldown = { kind = "duration", doc = "between two growths; 5s, or cooldown if shorter" },
}

---@type table<string, titan.Schema>
local fields = {
  name = shared.name_schema "what the pool is called; its workers are NAME-1, NAME-2 ...",
  min = count "what idle_timeout and auto_scale leave at least",
  max = count "what auto_scale and scale make of it at most",
  size = {
    kind = "one_of", of = { count "", { kind = "enum", values = { "auto" } } },
    allowed = string.format('an integer from 1 to %d, or "auto"', WORKERS_MAX),
    doc = 'how many workers; "auto" is as many as there are processors',
  },
  strategy = {
    kind = "enum", values = core.strategies(), default = "power_of_two",
    doc = "which worker gets a call",
  },
  weights = {
    kind = "list", of = { kind = "integer", min = 1, max = WEIGHT_MAX }, default = {},
    doc = "of worker 1, 2 ..., for the strategies that weigh; 1 for those left out",
  },
  max_queue_size = {
    kind = "integer", min = 0, max = 1000000, default = 1000,
    doc = "calls that may wait for a worker; one more is overloaded",
  },
  max_concurrency = {
    kind = "integer", min = 1, max = 65536, default = 128,
    doc = "calls that one worker has at a time",
  },
  request_timeout = shared.deadline_schema "of a call, its waiting included; false for none",
  warmup = {
    kind = "one_of", of = { { kind = "function" }, { kind = "string", min = 1 } },
    allowed = "a function, which gets the worker, or the name of a method",
    doc = "called for each worker before it gets calls",
  },
  recycle_after = { kind = "integer", min = 1, doc = "calls after which a worker is replaced" },
  max_lifetime = { kind = "duration", min = 1, doc = "after which a worker is replaced" },
  idle_timeout = { kind = "duration", min = 1,
    doc = "without a call for so long, a worker is retired, down to min" },
  memory_limit = { kind = "size", min = "1MB", doc = "beyond which a worker is replaced" },
  memory_warning_threshold = { kind = "number", min = 0, max = 1,
    doc = "share of memory_limit; 0.8 unless told" },
  replace_unhealthy = { kind = "boolean", default = true,
    doc = "whether a worker that fails its health checks is replaced" },
  heartbeat = { kind = "duration", min = 1, max = "24h",
    doc = "how often every worker is asked how it is; health_check.interval in short" },
  health_check = health.partial,
  auto_scale = { kind = "table", optional = true, fields = auto_scale_fields },
  circuit_breaker = { kind = "table", optional = true, fields = breaker,
    doc = "a failure is worker_lost, timeout or protocol_error" },
  spawn_options = { kind = "any", type = "table", default = {}, allowed = "the options of spawn",
    doc = "of every worker" },
  spawn_options_factory = { kind = "function",
    doc = "gets the number of a worker, returns options of spawn over those of spawn_options" },
}

---@type titan.Schema
local pool_schema = { kind = "table", fields = fields }

--- What may be written.
pool.schema = pool_schema

---@class titan.PoolOptions complete, for the core; every duration in ms, every size in bytes
---@field name? string
---@field min integer
---@field max integer what auto_scale goes up to
---@field limit? integer what scale goes up to, when max was given
---@field floor? integer what scale goes down to, when min was given
---@field start integer how many workers it starts with
---@field wait_for integer how many of them have to be ready
---@field request_timeout integer 0 for none
---@field warmup? string|fun(worker: table)
---@field spawn_options table
---@field spawn_options_factory? fun(index: integer): table?

---@param path string
---@param given table
---@param low string
---@param high string
local function check_order(path, given, low, high)
  local least, most = given[low], given[high]
  if math.type(least) and math.type(most) and least > most then
    schema.refuse(path .. "." .. low, string.format("%d is more than %s, which is %d", least, high,
      most), least, string.format("at most %d", most))
  end
end

-- min, max and size, each of which may be missing.
---@param checked table
local function decide_size(checked)
  local processors = math.min(#require("luv").cpu_info(), WORKERS_MAX)
  local given_min, given_max = checked.min, checked.max
  local size = checked.size
  if size == nil then
    size = given_min or "auto"
  end
  if size == "auto" then
    size = math.min(math.max(processors, given_min or 1), given_max or WORKERS_MAX)
  end
  checked.start = size
  checked.wait_for = given_min or size
  checked.floor, checked.limit = given_min, given_max
  checked.min = given_min or 1
  checked.max = given_max or math.max(size, processors)
end

---@param given table?
---@return table? for the core
local function scaling(given)
  if not given or not given.enabled then
    return nil
  end
  local has_target = given.queue or given.cpu or given.latency or given.busy
  return {
    interval = given.interval, queue = given.queue or not has_target and 1 or 0,
    busy = given.busy or 0, cpu = given.cpu or 0, latency = given.latency or 0,
    memory = given.memory or 0, down_cooldown = given.cooldown,
    up_cooldown = given.growth_cooldown or math.min(given.cooldown, GROWTH_COOLDOWN),
  }
end

---@param path string
---@param checked table
local function decide_memory(path, checked)
  local threshold = checked.memory_warning_threshold
  if threshold and not checked.memory_limit then
    schema.refuse(path .. ".memory_warning_threshold", "it is a share of memory_limit, which is "
      .. "missing", threshold, "nothing without memory_limit")
  end
  checked.memory_limit = checked.memory_limit or 0
  checked.memory_warning = math.floor(checked.memory_limit * (threshold or 0.8))
end

---@param checked table
---@return table? the `health` of its workers, where their spawn options have none
local function health_of(checked)
  if not checked.heartbeat then
    return checked.health_check
  end
  return layers.over({ interval = checked.heartbeat }, checked.health_check)
end

--- The complete options of a pool. Raises `invalid_config`.
---@param given? table
---@param manager_config titan.Config
---@param where string
---@return titan.PoolOptions
function pool.check(given, manager_config, where)
  local checked = schema.check(pool_schema, given, where)
  check_order(where, checked, "min", "max")
  check_order(where, checked, "min", "size")
  check_order(where, checked, "size", "max")
  decide_size(checked)
  decide_memory(where, checked)
  checked.auto_scale = scaling(checked.auto_scale)
  checked.health = health_of(checked)
  checked.warms = checked.warmup ~= nil
  if checked.request_timeout == nil then
    checked.request_timeout = manager_config.resources.timeout
  end
  checked.request_timeout = checked.request_timeout or 0
  checked.stop_timeout = manager_config.advanced.graceful_shutdown_timeout
  checked.recycle_after = checked.recycle_after or 0
  checked.max_lifetime = math.min(checked.max_lifetime or 0, NO_MAX)
  checked.idle_timeout = math.min(checked.idle_timeout or 0, NO_MAX)
  return checked
end

return pool
