--- Pools: workers of one class behind one queue. The core keeps the workers and passes the calls;
--- here is what a pool is made of and what its user can ask of it.
--
-- What the user holds is a proxy: `pool:method(...)` goes to a worker. The names below win over
-- methods of the class; `pool:invoke(method, args)` reaches those.

local config = require "titan.config"
local core = require "titan.core"
local errors = require "titan.errors"
local heard = require "titan.pool.heard"
local idempotency = require "titan.idempotency"
local names = require "titan.names"
local proxy = require "titan.proxy"
local schema = require "titan.schema"
local tasks = require "titan.tasks"

local pool = {}

---@class titan.Pool what the proxy stands for
---@field name string
---@field manager titan.Manager
---@field target titan.Target
---@field options titan.PoolOptions
---@field handle userdata
---@field proxy table
---@field info titan.PoolInfo
---@field starting titan.Future settled when it runs, or with what its start has failed with
---@field stopped titan.Future settled when no worker is left
---@field finish_start fun(ok: boolean, ...)
---@field finish_stop fun(ok: boolean, ...)
---@field waiting table<string, (fun(ok: boolean, ...))[]> for "settled", "reloaded", "drained"
---@field tasks table<titan.Future, true> that make workers or warm them up
---@field start_error? titan.Error why the last worker that could not start could not
---@field failure? titan.Error why it has failed
---@field keeper? { failed: fun(err: titan.Error), ended: fun() } who starts and stops it, and hears
--- when it has failed or ended
local Pool = {}
Pool.__index = Pool

---@class titan.PoolInfo of the workers; the latest to be ready has said so
---@field name string
---@field methods? table<string, integer|false>
---@field names? string[]
---@field idempotent table<string, true>
---@field keyed table<string, titan.Keyed>

-- Waiting ----------------------------------------------------------------------------------

-- Waits until the core says so; `ask` is what makes it do something.
---@param self titan.Pool
---@param what "settled"|"reloaded"|"drained"
---@param ask fun()
local function wait_for(self, what, ask)
  core.current()
  local future, settle = tasks.promise()
  future:ignore()
  table.insert(self.waiting[what], settle)
  ask()
  future:await()
end

--- Ends the waiting of everybody.
---@param what "settled"|"reloaded"|"drained"
---@param ok boolean
---@param err? titan.Error
function Pool:_settle(what, ok, err)
  local waiting = self.waiting[what]
  self.waiting[what] = {}
  for _, settle in ipairs(waiting) do
    settle(ok, err)
  end
end

--- It runs no more, whatever the reason: nobody may wait for it.
---@param err titan.Error
function Pool:_give_up(err)
  for future in pairs(self.tasks) do
    future:cancel()
  end
  self.finish_start(false, err)
  for what in pairs(self.waiting) do
    self:_settle(what, false, err)
  end
  self.manager.running[self] = nil
  self.finish_stop(true)
end

-- What its workers say ----------------------------------------------------------------------

--- Why a worker could not start, in full: the core only has a sentence.
---@param err titan.Error
function Pool:_start_failed(err)
  if err.code ~= "shutting_down" then
    self.start_error = err
  end
end

--- What a worker that is ready announces.
---@param said { methods: table<string, integer|false>, idempotent: string[],
--- keyed: table<string, titan.Keyed> }
function Pool:_learn(said)
  local info = self.info
  info.methods, info.keyed, info.idempotent = said.methods, said.keyed, {}
  for _, name in ipairs(said.idempotent) do
    info.idempotent[name] = true
  end
end

-- Life -------------------------------------------------------------------------------------

--- Starts it, or again after it has failed or been stopped. `self.starting` says how it went.
function Pool:_start()
  self.starting, self.finish_start = tasks.promise()
  self.stopped, self.finish_stop = tasks.promise()
  self.starting:ignore()
  self.stopped:ignore()
  self.start_error, self.failure = nil, nil
  if not self.keeper then
    self.manager.running[self] = self.stopped
  end
  core.pool_start(self.handle, self.options.start, self.options.wait_for)
end

--- Stops it: calls that wait end with `destroyed`, those under way have so long. Waits for the last
--- worker. Without a keeper this is its end; with one it can be started again.
---@param timeout? integer ms
function Pool:stop(timeout)
  core.current()
  core.pool_stop(self.handle, timeout or self.options.stop_timeout)
  self.stopped:await()
  if not self.keeper then
    core.pool_close(self.handle)
    if self.manager.pools[self.name] == self then
      self.manager.pools[self.name] = nil
      names.released(self.manager.name_hints, self.name)
    end
  end
end

---@param self titan.Pool
---@return titan.Error
local function is_over(self)
  local state = core.pool_state(self.handle)
  if state == "failed" then
    return errors.new("worker_lost", "the pool has no worker left: "
      .. (self.failure and self.failure.message or ""), { process = self.name })
  end
  return errors.new("destroyed", "the pool has been stopped", { process = self.name })
end

---@param self titan.Pool
local function check_alive(self)
  local state = core.pool_state(self.handle)
  if state == "ended" or state == "stopping" or state == "failed" then
    error(is_over(self), 0)
  end
end

-- What its user can ask -----------------------------------------------------------------------

--- What a pool's proxy has beside the methods of its workers.
---@param self titan.Pool
---@return table<string, function>
function pool.own_functions(self)
  local own = {}

  --- Another size. Waits until all workers are ready and those too many have ended. Raises what a
  --- worker that could not start failed with.
  function own.scale(_, size)
    local options = self.options
    local checked = schema.check({ kind = "integer", required = true, min = options.floor or 1,
      max = options.limit or 1024 }, size, "scale.size")
    check_alive(self)
    wait_for(self, "settled", function()
      core.pool_scale(self.handle, checked)
    end)
    return true
  end

  --- Replaces every worker, one after the other, each when its successor is ready. Raises what a
  --- successor failed with: then the others stay.
  function own.reload()
    check_alive(self)
    wait_for(self, "reloaded", function()
      core.pool_reload(self.handle)
    end)
    return true
  end

  --- No new calls from here on; waits until those that wait and those under way have ended.
  function own.drain()
    check_alive(self)
    if not self.drained then
      wait_for(self, "drained", function()
        core.pool_drain(self.handle)
      end)
    end
    return true
  end

  --- Ends it. Calls that wait end with `destroyed` at once, those under way have so long.
  function own.destroy(_, timeout)
    self:stop(schema.check({ kind = "duration" }, timeout, "destroy.timeout"))
    return true
  end

  --- What it has done and how its workers are: see titan.pool.Metrics of lua/types.
  function own.metrics()
    local metrics = core.pool_metrics(self.handle)
    metrics.name = self.name
    return metrics
  end

  own.invoke = proxy.invoke

  return own
end

--- What a pool's proxy says of it that is another each time.
---@param self titan.Pool
---@return table<string, fun(): any>
function pool.live_fields(self)
  return {
    name = function()
      return self.name
    end,
    size = function()
      return (select(2, core.pool_state(self.handle)))
    end,
    active = function()
      return (select(3, core.pool_state(self.handle)))
    end,
    pending = function()
      return (select(4, core.pool_state(self.handle)))
    end,
  }
end

-- Birth ------------------------------------------------------------------------------------

-- Whether a method is there is what the workers have said; before that, they will say.
---@param self titan.Pool
---@return titan.Backend
local function backend(self)
  local info = self.info
  local gate = {
    stores = self.manager.stores,
    scope = function()
      return self.name
    end,
    keyed = function(name)
      return info.keyed[name]
    end,
  }
  return {
    name = self.name, own = pool.own_functions(self), live = pool.live_fields(self), pooled = true,
    has_many = true, timeout = self.options.request_timeout,
    text = function()
      local state, size = core.pool_state(self.handle)
      return string.format("titan pool %s (%s, %d workers)", self.name, state, size)
    end,
    method = function(owner, name, timeout, how)
      if info.methods and not info.methods[name] then
        return proxy.refusal(proxy.no_such_method(info, name)), false
      end
      return idempotency.method(gate, owner, name, timeout, how, function(header)
        return core.pool_method(self.handle, owner, name, self.name, timeout, header,
          how.priority or 0, how.key, info)
      end), info.methods ~= nil
    end,
  }
end

---@param self titan.Pool
---@return fun(kind: string, event: table)
local function listener(self)
  return function(kind, event)
    heard[kind](self, event)
  end
end

-- What the kernel knows of processes alone.
---@param options titan.PoolOptions
---@param isolation titan.Isolation
---@param where string
local function check_isolation(options, isolation, where)
  if isolation == "process" then
    return
  end
  local scale = options.auto_scale or {}
  for _, said in ipairs {
    { "memory_limit", options.memory_limit }, { "auto_scale.cpu", scale.cpu },
    { "auto_scale.memory", scale.memory },
  } do
    local key, value = said[1], said[2]
    if value and value > 0 then
      schema.refuse(where .. "." .. key, string.format("a worker of isolation %q has no memory and "
        .. "processor time of its own that could be read; resources.max_memory bounds its heap, or "
        .. 'use isolation = "process"', isolation), value, 'isolation = "process"')
    end
  end
end

--- A pool that has not been started. Raises `invalid_config`.
---@param manager titan.Manager
---@param target titan.Target
---@param options titan.PoolOptions
---@param name string one that nobody has
---@param where string of the options
---@return titan.Pool
function pool.new(manager, target, options, name, where)
  local checked = config.spawn_options(options.spawn_options, target.class,
    where .. ".spawn_options")
  check_isolation(options, checked.isolation or manager.config.isolation, where)
  options.stop_timeout = checked.shutdown_timeout or options.stop_timeout
  local self = setmetatable({
    name = name, manager = manager, target = target, options = options,
    info = { name = name, idempotent = {}, keyed = {} },
    waiting = { settled = {}, reloaded = {}, drained = {} }, tasks = {},
  }, Pool)
  self.stopped, self.finish_stop = tasks.promise()
  self.finish_stop(true)
  self.handle = core.pool_open(manager.handle, name, options, listener(self))
  self.proxy = proxy.new(backend(self))
  manager.pools[name] = self
  return self
end

return pool
