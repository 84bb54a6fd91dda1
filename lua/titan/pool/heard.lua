--- What the core tells of a pool, one function an event. Each gets the pool and what the event
--- carries.

local core = require "titan.core"
local errors = require "titan.errors"
local names = require "titan.names"
local tasks = require "titan.tasks"
local worker_options = require "titan.pool.worker_options"

local heard = {}

-- Workers ------------------------------------------------------------------------------------

---@param self titan.Pool
---@return string
local function worker_name(self)
  return names.numbered(self.name, function(name)
    return self.manager:_is_free(name)
  end, self.manager.name_hints)
end

---@param self titan.Pool
---@param index integer
---@return titan.SpawnOptions
local function spawn_options(self, index)
  local checked = worker_options.of(self.options, self.target.class, index, self.options.health)
  checked.name = checked.name and self.manager:_free_name(checked.name)
  return checked
end

---@param self titan.Pool
---@param number integer of the worker
---@param index integer
local function launch(self, number, index)
  local manager = self.manager
  local options = spawn_options(self, index)
  manager:_await_dependencies(options.name or self.name, options.dependencies)
  options.name = options.name or worker_name(self)
  manager:_launch(self.target, options, { pool = self, handle = self.handle, key = number })
end

-- The user's code may wait for long; the end of the pool does not wait for it.
---@param self titan.Pool
---@param fn fun()
local function go(self, fn)
  local future
  future = tasks.go(function()
    local _ <close> = setmetatable({}, {
      __close = function()
        self.tasks[future or false] = nil
      end,
    })
    fn()
  end)
  if not future:done() then
    self.tasks[future] = true
  end
end

-- In a task of its own: the factory may wait, and dependencies are waited for.
function heard.spawn(self, event)
  go(self, function()
    local ok, err = pcall(launch, self, event.number, event.index)
    if not ok then
      self:_start_failed(errors.is(err) and err or errors.new("spawn_failed", tasks.text_of(err)))
      core.pool_worker_failed(self.handle, event.number, self.start_error.message)
    end
  end)
end

function heard.warm(self, event)
  local service = self.manager.services[event.process]
  local warmup = self.options.warmup
  go(self, function()
    local worker = service.proxy
    local ok, err = pcall(tasks.timeout, service.options.startup_timeout,
      type(warmup) == "string" and worker[warmup] or warmup, worker)
    local why = nil
    if not ok then
      why = string.format("the warmup of worker %q failed: %s", service.name,
        errors.is(err) and err.message or tasks.text_of(err))
      self:_start_failed(errors.new("spawn_failed", why, { process = service.name }))
    end
    core.pool_worker_warmed(self.handle, event.number, event.life, why)
  end)
end

-- The pool -----------------------------------------------------------------------------------

---@param self titan.Pool
---@param event { code: string, message: string }
---@return titan.Error
local function failure(self, event)
  return self.start_error or errors.new(event.code or "worker_lost", event.message or "",
    { process = self.name })
end

function heard.ready(self)
  self.start_error = nil
  self.finish_start(true)
end

function heard.failed(self, event)
  local err = failure(self, event)
  self.failure = err
  local was_starting = not self.starting:done()
  self:_give_up(err)
  if not was_starting then
    self.manager.events:emit("pool:failed", { pool = self.name, error = err })
  end
  if self.keeper then
    self.keeper.failed(err)
  end
end

function heard.ended(self)
  self:_give_up(errors.new("destroyed", "the pool has been stopped", { process = self.name }))
  if self.keeper then
    self.keeper.ended()
  end
end

function heard.drained(self)
  self.drained = true
  self:_settle("drained", true)
end

function heard.settled(self)
  self:_settle("settled", true)
end

function heard.gave_up(self, event)
  self:_settle("settled", false, failure(self, event))
end

function heard.reloaded(self, event)
  self:_settle("reloaded", event.code == nil, event.code and failure(self, event))
end

function heard.size(self, event)
  self.manager.events:emit("pool:scale", {
    pool = self.name, from = event.from, to = event.to, reason = event.reason,
  })
end

function heard.memory(self, event)
  local service = self.manager.services[event.process]
  self.manager.events:emit("pool:memory", {
    pool = self.name, name = service and service.name, memory = event.memory,
    limit = self.options.memory_limit,
  })
end

return heard
