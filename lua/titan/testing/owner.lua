--- Who owns the tasks of a mock process: those that run its methods, and those they start with
--- titan.go. They end with their owner, as they would with the process.

local core = require "titan.core"
local errors = require "titan.errors"
local remote_error = require "titan.remote_error"
local series = require "titan.testing.series"
local store = require "titan.testing.store"
local tasks = require "titan.tasks"

local owner = {}

local owners = setmetatable({}, { __mode = "k" })
tasks.owners = owners

---@class titan.TaskOwner
---@field service fun(name: string): table what titan.service is inside
---@field open_store fun(kind: string, space: string, max_entries: integer?): table
---@field answering table<thread, fun(...)> by the task of a call: how it is answered with a stream
---@field stream_items fun(iterator: any, state: any, control: any, closing: any)
---@field answering table<thread, fun(...)> by the task of a call: how it is answered with a stream
---@field stream_items fun(iterator: any, state: any, control: any, closing: any)
---@field series titan.MockSeries what its annotations count
---@field package futures table<titan.Future, true>
---@field package coroutines table<thread, true>
---@field over? boolean
local Owner = {}
Owner.__index = Owner

local function ended()
  return errors.new("cancelled", "the worker has ended")
end

---@param self titan.TaskOwner
---@param fn function
---@return function
local function owned(self, fn)
  return function(...)
    local co = coroutine.running()
    owners[co], self.coroutines[co] = self, true
    local _ <close> = setmetatable({}, {
      __close = function()
        owners[co], self.coroutines[co] = nil, nil -- it will serve another
      end,
    })
    return fn(...)
  end
end

--- Called by titan.go in a task of this owner.
---@param future titan.Future
---@param fn function
---@return function
function Owner:adopt(future, fn)
  self:check_alive()
  self.futures[future] = true
  return owned(self, fn)
end

--- Runs `fn` as a task until it first waits. It is part of no call: a process knows of a caller
--- only what the request says. `done` hears how it ended, an error as it would
--- travel.
---@param done fun(ok: boolean, ...)
---@param fn fun(...): ...
---@param ... any
---@return thread
function Owner:begin(done, fn, ...)
  return core.go(remote_error.pack, done, owned(self, function(...)
    core.detach()
    return fn(...)
  end), ...)
end

--- Raises when its process is no more, for tasks that will not be cancelled.
function Owner:check_alive()
  if self.over then
    error(ended(), 0)
  end
end

--- Cancels what has not ended, and whatever these tasks start from now on.
function Owner:close()
  self.over = true
  local futures, coroutines = self.futures, self.coroutines
  self.futures, self.coroutines = {}, {}
  for future in pairs(futures) do
    future:cancel()
    future:ignore()
  end
  for co in pairs(coroutines) do
    core.interrupt(co, ended())
  end
end

---@param spawner titan.MockSpawner
---@return titan.TaskOwner
function owner.new(spawner)
  local self = setmetatable({
    futures = setmetatable({}, { __mode = "k" }), coroutines = {}, answering = {},
    series = series.new(),
    service = function(name)
      return spawner:_service(name)
    end,
  }, Owner)
  function self.open_store(kind, space, max_entries)
    return store.new(spawner, self, { kind = kind, space = space, max_entries = max_entries })
  end
  function self.stream_items(...)
    local answer = self.answering[coroutine.running()]
    if not answer then
      error("titan: only a request can be answered with a stream", 2)
    end
    answer(...)
  end
  return self
end

return owner
