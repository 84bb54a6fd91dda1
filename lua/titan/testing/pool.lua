--- A pool of mock processes: as many calls at a time as max_concurrency lets through, a queue of
--- max_queue_size with priorities, and calls of idempotent methods made again when their worker is
--- lost. A call goes to the worker with the fewest calls, one with a key always to the same
--- with the strategies that say so.
--
-- Without effect are auto_scale, circuit_breaker, recycle_after, max_lifetime, idle_timeout,
-- memory_limit and what is said of health.

local config = require "titan.config"
local core = require "titan.core"
local errors = require "titan.errors"
local pool_config = require "titan.config.pool"
local proxy = require "titan.proxy"
local schema = require "titan.schema"
local tasks = require "titan.tasks"
local text = require "titan.text"

local pool = {}

local TRIES_MAX <const> = 5 -- of a call whose workers are lost

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

---@param self titan.MockPool
---@param code string
---@param message string
---@param method? string
---@return titan.Error
local function failure(self, code, message, method)
  return errors.new(code, message, { process = self.name, method = method })
end

-- Workers ----------------------------------------------------------------------------------

-- The options of one worker: those of the factory go over those of all.
---@param self titan.MockPool
---@param index integer
---@return titan.SpawnOptions
local function spawn_options(self, index)
  local given, where = {}, "pool.spawn_options"
  for key, value in pairs(self.options.spawn_options) do
    given[key] = value
  end
  local factory = self.options.spawn_options_factory
  if factory then
    where = string.format("pool.spawn_options_factory(%d)", index)
    local more = schema.check({ kind = "any", type = "table", default = {},
      allowed = "a table of options of spawn" }, factory(index), where)
    for key, value in pairs(more) do
      given[key] = value
    end
  end
  local checked = config.spawn_options(given, self.target.class, where)
  checked.startup_given = given.startup_timeout ~= nil
  return checked
end

---@param self titan.MockPool
---@return string
local function worker_name(self)
  local number = 1
  while true do
    local suffix = "-" .. number
    local name = self.name:sub(1, 64 - #suffix) .. suffix
    if not self.spawner:_find(name) and not self.spawner.pools[name] then
      return name
    end
    number = number + 1
  end
end

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
    error(failure(self, "spawn_failed", string.format("the warmup of worker %q failed: %s",
      process.name, errors.is(err) and err.message or tasks.text_of(err))), 0)
  end
end

-- Starts one more, and waits until it is ready.
---@param self titan.MockPool
---@return titan.MockPoolWorker
local function add_worker(self)
  local index = free_index(self)
  local options = spawn_options(self, index)
  options.name = options.name and self.spawner:_free_name(options.name) or worker_name(self)
  self.spawner:_await_dependencies(options.name, options.dependencies)
  local worker = { index = index, active = 0, calls = 0 }
  worker.process = self.spawner:_launch(self.target, options, self)
  worker.process.started:await()
  warm_up(self, worker.process)
  table.insert(self.workers, worker)
  self:_grant()
  return worker
end

---@param worker titan.MockPoolWorker
---@return boolean
local function is_up(worker)
  return worker.process.status == "running" and not worker.retiring
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
    local err = failure(self, "worker_lost", process.last_error.message)
    self.state, self.failure = "failed", err
    self:_refuse_all(self:_is_over())
    self.spawner.events:emit("pool:failed", { pool = self.name, error = err })
  end
end

---@return titan.MockProcess?
function Pool:any_worker()
  return self.workers[1] and self.workers[1].process
end

-- Who gets a call --------------------------------------------------------------------------

local KEYED <const> = { consistent_hash = true, ip_hash = true }

---@param self titan.MockPool
---@param key string|number
---@return titan.MockPoolWorker?
local function worker_of_key(self, key)
  local up, hash = {}, 0
  for _, worker in ipairs(self.workers) do
    up[#up + 1] = is_up(worker) and worker or nil
  end
  for _, byte in utf8.codes(tostring(key), true) do
    hash = (hash * 31 + byte) & 0x7FFFFFFF
  end
  return up[hash % math.max(1, #up) + 1]
end

---@param self titan.MockPool
---@param key string|number|nil
---@return titan.MockPoolWorker? that may have one more call
local function pick(self, key)
  local limit = self.options.max_concurrency
  if key ~= nil and KEYED[self.options.strategy] then
    local worker = worker_of_key(self, key)
    return worker and worker.active < limit and worker or nil
  end
  local best
  for _, worker in ipairs(self.workers) do
    local fewer = not best or worker.active < best.active
      or worker.active == best.active and worker.calls < best.calls
    if is_up(worker) and worker.active < limit and fewer then
      best = worker
    end
  end
  return best
end

---@param worker titan.MockPoolWorker
---@return titan.MockPoolWorker
local function take(self, worker)
  worker.active, worker.calls = worker.active + 1, worker.calls + 1
  self.in_flight = self.in_flight + 1
  return worker
end

--- Gives those that wait the workers that are free.
function Pool:_grant()
  local i = 1
  while self.queue[i] do
    local call = self.queue[i]
    local worker = pick(self, call.key)
    if worker then
      table.remove(self.queue, i)
      call.settle(true, take(self, worker))
    else
      i = i + 1
    end
  end
end

---@param self titan.MockPool
---@param worker titan.MockPoolWorker
local function give_back(self, worker)
  worker.active, self.in_flight = worker.active - 1, self.in_flight - 1
  self:_grant()
  if self.state == "draining" and self.in_flight == 0 and #self.queue == 0 then
    self.finish_drain(true)
  end
end

-- Behind those of its own priority.
---@param self titan.MockPool
---@param call titan.MockPoolCall
local function enqueue(self, call)
  local at = #self.queue + 1
  while at > 1 and self.queue[at - 1].priority < call.priority do
    at = at - 1
  end
  table.insert(self.queue, at, call)
end

---@return titan.Error
function Pool:_is_over(method)
  if self.state == "failed" then
    return failure(self, "worker_lost", "the pool has no worker left: "
      .. self.failure.message, method)
  end
  return failure(self, "destroyed", "the pool has been stopped", method)
end

---@param err titan.Error
function Pool:_refuse_all(err)
  local queue = self.queue
  self.queue = {}
  for _, call in ipairs(queue) do
    call.settle(false, err)
  end
end

-- Waits for a worker.
---@param self titan.MockPool
---@param method string
---@param how titan.CallOptions
---@param timeout integer
---@return titan.MockPoolWorker
local function wait_for_worker(self, method, how, timeout)
  local call = { priority = how.priority or 0, key = how.key }
  local future
  future, call.settle = tasks.promise()
  future:ignore()
  enqueue(self, call)
  local waited, why = pcall(tasks.wait, future, timeout > 0 and timeout or nil)
  if not future:done() then
    for i, at in ipairs(self.queue) do
      if at == call then
        table.remove(self.queue, i)
      end
    end
    error(waited and failure(self, "timeout", string.format("no worker of the pool was free "
      .. "within %d ms", timeout), method) or why, 0)
  end
  return future:await()
end

---@param self titan.MockPool
---@param method string
---@param how titan.CallOptions
---@param timeout integer
---@param again boolean
---@return titan.MockPoolWorker
local function admit(self, method, how, timeout, again)
  if self.state == "draining" and not again then
    error(failure(self, "shutting_down", "the pool takes no new calls: it has been drained",
      method), 0)
  elseif self.state ~= "running" and self.state ~= "starting" and self.state ~= "draining" then
    error(self:_is_over(method), 0)
  end
  local worker = #self.queue == 0 and pick(self, how.key)
  if worker then
    return take(self, worker)
  elseif not again and #self.queue >= self.options.max_queue_size then
    self.counts.rejected = self.counts.rejected + 1
    error(failure(self, "overloaded", string.format("%d calls wait for a worker (max_queue_size)",
      #self.queue), method), 0)
  end
  return wait_for_worker(self, method, how, timeout)
end

-- Calls ------------------------------------------------------------------------------------

---@param self titan.MockPool
---@param worker titan.MockPoolWorker
---@param method string
---@param timeout integer
---@param ... any
---@return any ...
local function call_worker(self, worker, method, timeout, ...)
  local _ <close> = setmetatable({}, {
    __close = function()
      give_back(self, worker)
    end,
  })
  return worker.process:call_by_name(method, timeout, ...)
end

---@param self titan.MockPool
---@param method string
---@return boolean
local function is_idempotent(self, method)
  local process = self:any_worker()
  local declared = process and process.class.methods[method]
  return declared ~= nil and declared.idempotent ~= nil and declared.idempotent ~= false
end

---@param method string
---@param timeout integer ms, of the whole; 0 for none
---@param how titan.CallOptions
---@param ... any
---@return any ...
function Pool:call(method, timeout, how, ...)
  core.current()
  self.counts.calls = self.counts.calls + 1
  local deadline, tries = timeout > 0 and core.monotonic_ms() + timeout, 0
  local results
  repeat
    local left = deadline and math.max(1, math.ceil(deadline - core.monotonic_ms())) or 0
    local admitted, worker = pcall(admit, self, method, how, left, tries > 0)
    results = admitted and table.pack(pcall(call_worker, self, worker, method, deadline
      and math.max(1, math.ceil(deadline - core.monotonic_ms())) or 0, ...)) or { false, worker }
    tries = tries + 1
    local lost = admitted and not results[1] and results[2].code == "worker_lost"
      and is_idempotent(self, method) and tries < TRIES_MAX
    self.counts.retries = self.counts.retries + (lost and 1 or 0)
  until not lost
  if not results[1] then
    self.counts.errors = self.counts.errors + 1
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

--- As that of a mock process.
---@param method string
---@param timeout integer
---@param ... any
---@return any ...
function Pool:call_by_name(method, timeout, ...)
  return self:call(method, timeout, {}, ...)
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

---@param self titan.MockPool
---@param size integer
local function scale(self, size)
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

---@param self titan.MockPool
local function check_alive(self)
  if self.state ~= "running" and self.state ~= "starting" and self.state ~= "draining" then
    error(self:_is_over(), 0)
  end
end

-- What its user can ask ----------------------------------------------------------------------

---@param self titan.MockPool
---@return integer busy workers
local function busy(self)
  local count = 0
  for _, worker in ipairs(self.workers) do
    count = count + (worker.active > 0 and 1 or 0)
  end
  return count
end

---@param self titan.MockPool
---@return table
local function metrics_of(self)
  local size, active, workers = #self.workers, busy(self), {}
  for i, worker in ipairs(self.workers) do
    local process = worker.process
    workers[i] = { index = worker.index, state = process.status, calls = worker.calls,
      in_flight = worker.active, age = process:get_metrics().uptime, id = process.id,
      name = process.name, restarts = process.restart_count }
  end
  return {
    name = self.name, state = self.state, size = size, active = active, idle = size - active,
    pending = #self.queue, in_flight = self.in_flight, calls = self.counts.calls,
    errors = self.counts.errors, retries = self.counts.retries, rejected = self.counts.rejected,
    workers = workers,
  }
end

---@param self titan.MockPool
---@return table<string, function>
local function own_functions(self)
  local own = {}

  function own.scale(_, size)
    local checked = schema.check({ kind = "integer", required = true,
      min = self.options.floor or 1, max = self.options.limit or 1024 }, size, "scale.size")
    check_alive(self)
    scale(self, checked)
    return true
  end

  function own.reload()
    check_alive(self)
    for _, worker in ipairs(table.move(self.workers, 1, #self.workers, 1, {})) do
      add_worker(self)
      retire(worker, self.options.stop_timeout)
    end
    return true
  end

  function own.drain()
    check_alive(self)
    if not self.drained then
      self.drained, self.finish_drain = tasks.promise()
      self.drained:ignore()
      self.state = "draining"
      if self.in_flight == 0 and #self.queue == 0 then
        self.finish_drain(true)
      end
    end
    self.drained:await()
    return true
  end

  function own.destroy(_, timeout)
    self:stop(schema.check({ kind = "duration" }, timeout, "destroy.timeout"))
    return true
  end

  function own.metrics()
    return metrics_of(self)
  end

  function own.invoke(owner, method, args)
    if type(method) ~= "string" then
      schema.refuse("invoke.method", "expected the name of a method, given " .. text.given(method),
        method, "a string")
    end
    args = schema.check({ kind = "any", type = "table", default = {} }, args, "invoke.args")
    return owner.__method(method)(owner, table.unpack(args, 1, args.n or #args))
  end

  return own
end

---@param self titan.MockPool
---@return titan.Backend
local function backend(self)
  return {
    name = self.name, pooled = true, timeout = self.options.request_timeout,
    own = own_functions(self),
    live = {
      name = function()
        return self.name
      end,
      size = function()
        return #self.workers
      end,
      active = function()
        return busy(self)
      end,
      pending = function()
        return #self.queue
      end,
    },
    text = function()
      return string.format("titan pool %s (%s, %d workers)", self.name, self.state, #self.workers)
    end,
    method = function(owner, name, timeout, how)
      local process = self:any_worker()
      if process and not process.info.methods[name] then
        local info = { name = self.name, methods = process.info.methods,
          names = process.info.names }
        return proxy.refusal(proxy.no_such_method(info, name)), false
      end
      return function(given, ...)
        proxy.check_self(given, owner, name)
        return self:call(name, timeout, how, ...)
      end
    end,
  }
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
  self.proxy = proxy.new(backend(self))
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
