--- A pool of mock processes: as many calls at a time as max_concurrency lets through, a queue of
--- max_queue_size with priorities, and calls of idempotent methods made again when their worker is
--- lost. A call goes to the worker with the fewest calls, one with a key always to the same
--- with the strategies that say so.
--
-- Without effect are auto_scale, circuit_breaker, recycle_after, max_lifetime, idle_timeout,
-- memory_limit and what is said of health.

local asks = require "titan.testing.pool_asks"
local calls = require "titan.testing.pool_calls"
local config = require "titan.config"
local errors = require "titan.errors"
local names = require "titan.names"
local pool_config = require "titan.config.pool"
local proxy = require "titan.proxy"
local tasks = require "titan.tasks"
local worker_options = require "titan.pool.worker_options"

local pool = {}

---@class titan.MockPool
---@field name string
---@field spawner titan.MockSpawner
---@field target titan.Target
---@field options titan.PoolOptions
---@field state "starting"|"running"|"draining"|"stopping"|"failed"|"ended"
---@field workers titan.MockPoolWorker[]
---@field queue titan.MockPoolCall[] the first to go first
---@field started titan.Future
---@field stopped titan.Future
---@field proxy table
---@field counts { calls: integer, errors: integer, retries: integer, rejected: integer }
---@field in_flight integer
---@field drained? titan.Future
---@field finish_drain? fun(ok: boolean, ...)
---@field failure? titan.Error
local Pool = {}
Pool.__index = Pool

for name, fn in pairs(calls) do
  Pool[name] = fn
end

---@param code titan.ErrorCode
---@param message string
---@param method? string
---@return titan.Error
function Pool:_failure(code, message, method)
  return errors.new(code, message, { process = self.name, method = method })
end

---@class titan.MockPoolWorker
---@field index integer
---@field process titan.MockProcess
---@field active integer
---@field calls integer
---@field retiring? boolean

---@class titan.MockPoolCall that waits
---@field priority integer
---@field key? string|number
---@field settle fun(ok: boolean, ...) gets the worker

-- Workers ----------------------------------------------------------------------------------

---@param self titan.MockPool
---@return integer
local function free_index(self)
  local taken = {}
  for _, worker in ipairs(self.workers) do
    taken[worker.index] = true
  end
  local index = 1
  while taken[index] do
    index = index + 1
  end
  return index
end

---@param self titan.MockPool
---@param process titan.MockProcess
local function warm_up(self, process)
  local warmup = self.options.warmup
  if not warmup then
    return
  end
  local worker = process.proxy
  local ok, err = pcall(tasks.timeout, process.options.startup_timeout,
    type(warmup) == "string" and worker[warmup] or warmup, worker)
  if not ok then
    process:stop(0)
    error(self:_failure("spawn_failed", string.format("the warmup of worker %q failed: %s",
      process.name, errors.is(err) and err.message or tasks.text_of(err))), 0)
  end
end

-- Starts one more, and waits until it is ready.
---@param self titan.MockPool
---@return titan.MockPoolWorker
local function add_worker(self)
  local index = free_index(self)
  local spawner = self.spawner
  local options = worker_options.of(self.options, self.target.class, index)
  options.name = options.name and spawner:_free_name(options.name)
    or names.numbered(self.name, function(name)
      return spawner:_is_free(name)
    end)
  self.spawner:_await_dependencies(options.name, options.dependencies)
  local worker = { index = index, active = 0, calls = 0 }
  worker.process = self.spawner:_launch(self.target, options, self)
  worker.process.started:await()
  warm_up(self, worker.process)
  table.insert(self.workers, worker)
  self:_grant()
  return worker
end

-- Takes it out, and waits for its end: its calls finish first.
---@param worker titan.MockPoolWorker
---@param ms integer
local function retire(worker, ms)
  worker.retiring = true
  worker.process:stop(ms)
end

--- Called when a worker has ended for good.
---@param process titan.MockProcess
function Pool:_worker_ended(process)
  for i, worker in ipairs(self.workers) do
    if worker.process == process then
      table.remove(self.workers, i)
    end
  end
  if #self.workers == 0 and (self.state == "running" or self.state == "draining")
    and process.status ~= "stopped" then
    local err = self:_failure("worker_lost", process.last_error.message)
    self.state, self.failure = "failed", err
    self:_refuse_all(self:_is_over())
    self.spawner.events:emit("pool:failed", { pool = self.name, error = err })
  end
end

---@return titan.MockProcess?
function Pool:any_worker()
  return self.workers[1] and self.workers[1].process
end

-- Life -------------------------------------------------------------------------------------

---@param self titan.MockPool
---@param reason string
---@param from integer
local function tell_size(self, reason, from)
  if from ~= #self.workers then
    self.spawner.events:emit("pool:scale", {
      pool = self.name, from = from, to = #self.workers, reason = reason,
    })
  end
end

---@param err titan.Error
function Pool:_give_up(err)
  self.state = "ended"
  self:_refuse_all(err)
  if self.finish_drain then
    self.finish_drain(false, err)
  end
  self.spawner.pools[self.name] = nil
  self.finish_stop(true)
end

--- Stops it: calls that wait end with `destroyed`, those under way have so long.
---@param timeout? integer ms
function Pool:stop(timeout)
  if self.state == "stopping" or self.state == "ended" then
    return self.stopped:await()
  end
  self.state = "stopping"
  self:_refuse_all(self:_is_over())
  local stops = {}
  for _, worker in ipairs(table.move(self.workers, 1, #self.workers, 1, {})) do
    stops[#stops + 1] = tasks.go(retire, worker, timeout or self.options.stop_timeout)
  end
  tasks.all(stops)
  self:_give_up(self:_is_over())
end

--- Another size. Waits until it has it.
---@param size integer
function Pool:scale(size)
  local from = #self.workers
  while #self.workers < size do
    add_worker(self)
  end
  local stops = {}
  for i = size + 1, #self.workers do
    stops[#stops + 1] = tasks.go(retire, self.workers[i], self.options.stop_timeout)
  end
  tasks.all(stops)
  tell_size(self, "scale", from)
end

--- Replaces every worker, one after the other.
function Pool:reload()
  for _, worker in ipairs(table.move(self.workers, 1, #self.workers, 1, {})) do
    add_worker(self)
    retire(worker, self.options.stop_timeout)
  end
end

-- Birth ------------------------------------------------------------------------------------

--- Makes a pool and waits until its workers are ready. Raises `invalid_config`, or what the first
--- worker that could not start failed with, and then leaves nothing behind.
---@param spawner titan.MockSpawner
---@param target titan.Target
---@param given? table
---@return table proxy
function pool.create(spawner, target, given)
  local options = pool_config.check(given, spawner.config, "pool")
  local name = options.name
    or spawner:_free_name(target.class and target.class.name or target.name)
  if options.name then
    spawner:_claim(options.name, "pool.name")
  end
  local checked = config.spawn_options(options.spawn_options, target.class, "pool.spawn_options")
  options.stop_timeout = checked.shutdown_timeout or options.stop_timeout
  local self = setmetatable({
    name = name, spawner = spawner, target = target, options = options, state = "starting",
    workers = {}, queue = {}, in_flight = 0,
    counts = { calls = 0, errors = 0, retries = 0, rejected = 0 },
  }, Pool)
  local finish_start
  self.started, finish_start = tasks.promise()
  self.stopped, self.finish_stop = tasks.promise()
  self.started:ignore()
  self.proxy = proxy.new(asks.backend(self))
  spawner.pools[name] = self
  local ok, err = pcall(function()
    for _ = 1, options.start do
      add_worker(self)
    end
  end)
  if not ok then
    self:stop(0)
    finish_start(false, err)
    error(err, 0)
  end
  self.state = "running"
  finish_start(true)
  return self.proxy
end

return pool
