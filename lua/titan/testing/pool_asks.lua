--- What the user of a mock pool holds: its proxy.

local gate = require "titan.testing.gate"
local proxy = require "titan.proxy"
local schema = require "titan.schema"
local tasks = require "titan.tasks"

local asks = {}

---@param self titan.MockPool
local function check_alive(self)
  if self.state ~= "running" and self.state ~= "starting" and self.state ~= "draining" then
    error(self:_is_over(), 0)
  end
end

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
    self:scale(checked)
    return true
  end

  function own.reload()
    check_alive(self)
    self:reload()
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

  own.invoke = proxy.invoke

  return own
end

--- What its proxy stands for.
---@param self titan.MockPool
---@return titan.Backend
function asks.backend(self)
  local gated = gate.of(self.spawner, self.name, function()
    return self:any_worker()
  end)
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
        local info = { name = self.name, methods = process.info.methods }
        return proxy.refusal(proxy.no_such_method(info, name)), false
      end
      return gate.method(gated, owner, name, timeout, how, function(header)
        local options = { priority = how.priority, key = how.key, pairs = header }
        return function(given, ...)
          proxy.check_self(given, owner, name)
          return self:call(name, timeout, options, ...)
        end
      end)
    end,
  }
end

return asks
