--- The calls of a mock pool: which worker gets one, and what waits. These are methods of
--- titan.MockPool.

local core = require "titan.core"
local errors = require "titan.errors"
local streams = require "titan.testing.stream"
local tasks = require "titan.tasks"

---@class titan.MockPool
local Pool = {}

local TRIES_MAX <const> = 5 -- of a call whose workers are lost

---@param worker titan.MockPoolWorker
---@return boolean
local function is_up(worker)
  return worker.process.status == "running" and not worker.retiring
end

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
    return self:_failure("worker_lost", "the pool has no worker left: "
      .. self.failure.message, method)
  end
  return self:_failure("destroyed", "the pool has been stopped", method)
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
    error(waited and self:_failure("timeout", string.format("no worker of the pool was free "
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
    error(self:_failure("shutting_down", "the pool takes no new calls: it has been drained",
      method), 0)
  elseif self.state ~= "running" and self.state ~= "starting" and self.state ~= "draining" then
    error(self:_is_over(method), 0)
  end
  local worker = #self.queue == 0 and pick(self, how.key)
  if worker then
    return take(self, worker)
  elseif not again and #self.queue >= self.options.max_queue_size then
    self.counts.rejected = self.counts.rejected + 1
    error(self:_failure("overloaded", string.format("%d calls wait for a worker (max_queue_size)",
      #self.queue), method), 0)
  end
  return wait_for_worker(self, method, how, timeout)
end

-- Calls ------------------------------------------------------------------------------------

-- A stream has its worker until its end.
---@param self titan.MockPool
---@param worker titan.MockPoolWorker
---@param place { kept: boolean? }
---@param ... any the results of the call
---@return any ...
local function keep_for_stream(self, worker, place, ...)
  local stream = streams.of((select(4, ...)))
  if stream and not stream.ended then
    place.kept = true
    stream.when_ended = function(ok)
      self.counts.errors = self.counts.errors + (ok and 0 or 1)
      give_back(self, worker)
    end
  end
  return ...
end

---@param self titan.MockPool
---@param worker titan.MockPoolWorker
---@param method string
---@param timeout integer
---@param how titan.CallOptions
---@param ... any
---@return any ...
local function call_worker(self, worker, method, timeout, how, ...)
  local place <close> = setmetatable({}, {
    __close = function(place)
      if not place.kept then
        give_back(self, worker)
      end
    end,
  })
  return keep_for_stream(self, worker, place,
    worker.process:call_by_name(method, timeout, how, ...))
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
  timeout = core.time_for(timeout)
  if not timeout then
    error(self:_failure("timeout", "no time is left of the call that this one is part of",
      method), 0)
  end
  self.counts.calls = self.counts.calls + 1
  local deadline, tries = timeout > 0 and core.monotonic_ms() + timeout, 0
  local function left()
    return deadline and math.max(1, math.ceil(deadline - core.monotonic_ms())) or 0
  end
  local results
  repeat
    local admitted, worker = pcall(admit, self, method, how, left(), tries > 0)
    results = admitted and table.pack(pcall(call_worker, self, worker, method, left(), how, ...))
      or { false, worker }
    tries = tries + 1
    local lost = admitted and not results[1] and errors.is(results[2])
      and results[2].code == "worker_lost"
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
---@param how titan.CallOptions
---@param ... any
---@return any ...
function Pool:call_by_name(method, timeout, how, ...)
  return self:call(method, timeout, how, ...)
end

return Pool
