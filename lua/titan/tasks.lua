--- Tasks and futures: running functions side by side on the loop.
--
-- A task is a coroutine of Titan's; whatever waits (a call, a sleep, an await) suspends
-- it and nothing else. Promises:
--
--  * a task runs until it first waits before `go` returns, and ends exactly once;
--  * an error in a task is raised by `await`; one that nobody awaits is not lost: it is
--    printed when its future is collected or when the run ends, and makes the run fail;
--  * cancelling raises an error of the code `cancelled` where the task waits, so that its
--    to-be-closed variables are closed and what it waited for is given up.

local core = require "titan.core"
local errors = require "titan.errors"
local schema = require "titan.schema"

local tasks = {}

---@class titan.Future
---@field package state "pending"|"done"|"failed"
---@field package co? thread the coroutine, while pending
---@field package listeners? fun()[] called once it is settled
---@field package error? any
---@field package guard? { text: string, asked: boolean } while failed
local Future = {}
Future.__index = Future
Future.__name = "titan.Future"

-- The futures of tasks that have not ended: what a run waits for. By the coroutine's future.
local pending = {}

-- Errors nobody has asked for yet. The keys are guards: tables whose collection means
-- that nobody can ask any more.
local unasked = setmetatable({}, { __mode = "k" })

---@param guard { text: string, asked: boolean }
local function report_unasked(guard)
  if not guard.asked then
    guard.asked = true
    tasks.failed = true
    io.stderr:write("titan: an error in a task that nobody awaited: ", guard.text, "\n")
  end
end

local Guard = { __gc = report_unasked }

-- An error with the traceback of where it was raised; the error itself stays unchanged.
local Caught = {}

---@param err any
---@return table
local function catch(err)
  return setmetatable({ error = err, traceback = debug.traceback(nil, 2) }, Caught)
end

---@param future titan.Future
local function notify(future)
  local listeners = future.listeners
  future.listeners = nil
  for _, listener in ipairs(listeners or {}) do
    listener()
  end
end

--- What an error value says, whatever it is; never raises.
---@param err any
---@return string
function tasks.text_of(err)
  local ok, text = pcall(tostring, err)
  return ok and text or "an error object that cannot be shown"
end

---@param err any
---@param traceback string?
---@return string
local function describe(err, traceback)
  local text = tasks.text_of(err)
  return traceback and not (errors.is(err) and err.traceback) and text .. "\n" .. traceback or text
end

---@param future titan.Future
---@param ok boolean
local function settle(future, ok, ...)
  future.co = nil
  pending[future] = nil
  if ok then
    future.state = "done"
    future.n = select("#", ...)
    for i = 1, future.n do
      future[i] = (select(i, ...))
    end
  else
    local err, traceback = ..., nil
    if getmetatable(err) == Caught then
      err, traceback = err.error, err.traceback
    end
    future.state = "failed"
    future.error = err
    future.guard = setmetatable({ text = describe(err, traceback) }, Guard)
    unasked[future.guard] = true
  end
  notify(future)
end

--- Starts a task.
---@param fn fun(...): ...
---@param ... any its arguments
---@return titan.Future
function tasks.go(fn, ...)
  if type(fn) ~= "function" then
    local why = "expected a function, given a " .. type(fn)
    schema.refuse("titan.go", why, fn, "a function")
  end
  local future = setmetatable({ state = "pending" }, Future)
  pending[future] = true
  local co = core.go(catch, function(...)
    settle(future, ...)
  end, fn, ...)
  if future.state == "pending" then
    future.co = co
  end
  return future
end

--- A future that is settled by hand.
---@return titan.Future
---@return fun(ok: boolean, ...) settle the results, or false and an error
function tasks.promise()
  local future = setmetatable({ state = "pending" }, Future)
  return future, function(...)
    if future.state == "pending" then
      settle(future, ...)
    end
  end
end

-- Waits until the future is settled, or for so long.
---@param future titan.Future
---@param ms integer?
local function wait(future, ms)
  if future.state ~= "pending" then
    return
  end
  local co = core.current()
  local deadline = ms and core.monotonic_ms() + ms
  future.listeners = future.listeners or {}
  table.insert(future.listeners, function()
    core.unpark(co)
  end)
  repeat
    local left = deadline and math.max(0, math.ceil(deadline - core.monotonic_ms()))
    core.park(left)
  until future.state ~= "pending" or left == 0
end

--- Waits for the task. Returns what it returned, raises what it raised.
---@return any ...
function Future:await()
  wait(self)
  if self.state == "failed" then
    self.guard.asked = true
    error(self.error, 0)
  end
  return table.unpack(self, 1, self.n)
end

--- Gives the task up: `cancelled` is raised where it waits. False when it has ended
--- already, or waits for something that is not Titan's.
---@return boolean
function Future:cancel()
  if self.state ~= "pending" or not self.co then
    return false
  end
  local interrupted = core.interrupt(self.co, errors.new("cancelled", "the task was cancelled"))
  if interrupted then
    self:ignore()
  end
  return interrupted
end

-- Nobody will await it, and its error is no news.
function Future:ignore()
  local function asked()
    if self.guard then
      self.guard.asked = true
    end
  end
  if self.state == "pending" then
    self.listeners = self.listeners or {}
    table.insert(self.listeners, asked)
  else
    asked()
  end
  return self
end

--- Whether the task has ended.
---@return boolean
function Future:done()
  return self.state ~= "pending"
end

---@param futures any
---@param what string
local function check_futures(futures, what)
  if type(futures) ~= "table" then
    schema.refuse(what, "expected a list of futures, given a " .. type(futures), futures, "a list")
  end
  for i, future in ipairs(futures) do
    if getmetatable(future) ~= Future then
      local path = string.format("%s[%d]", what, i)
      schema.refuse(path, "expected a future, given a " .. type(future), future,
        "what titan.go or proxy.async:method() returned")
    end
  end
end

-- Calls `listener` when each of the futures is settled, now for those that are.
---@param futures titan.Future[]
---@param listener fun(future: titan.Future)
local function on_each(futures, listener)
  for _, future in ipairs(futures) do
    local function heard()
      listener(future)
    end
    if future.state == "pending" then
      future.listeners = future.listeners or {}
      table.insert(future.listeners, heard)
    else
      heard()
    end
  end
end

--- Waits for all. Returns their first results in order, with `n`; raises the first error
--- as soon as there is one (the others go on).
---@param futures titan.Future[]
---@return table results
function tasks.all(futures)
  check_futures(futures, "titan.all")
  local left = #futures
  local all, finish = tasks.promise()
  on_each(futures, function(future)
    left = left - 1
    if future.state == "failed" then
      future.guard.asked = true
      finish(false, future.error)
    elseif left == 0 then
      finish(true)
    end
  end)
  if #futures > 0 then
    all:await()
  end
  local results = { n = #futures }
  for i, future in ipairs(futures) do
    results[i] = future[1]
  end
  return results
end

--- Waits for the first that ends. Returns what it returned, raises what it raised (the
--- others go on).
---@param futures titan.Future[]
---@return any ...
function tasks.race(futures)
  check_futures(futures, "titan.race")
  if #futures == 0 then
    schema.refuse("titan.race", "a race of nobody never ends", futures, "one future at least")
  end
  local first
  local race, finish = tasks.promise()
  on_each(futures, function(future)
    if first == nil then
      first = future
      finish(true)
    elseif future.state == "failed" then
      future.guard.asked = true
    end
  end)
  race:await()
  return first:await()
end

--- Suspends the task.
---@param duration number|string ms, or "250ms", "30s", "5m", "1h"
function tasks.sleep(duration)
  core.sleep(schema.check({ kind = "duration", required = true }, duration, "titan.sleep"))
end

--- Runs `fn` for so long at the most. Returns what it returns, raises what it raises;
--- raises `timeout` when the time is over, and cancels it.
---@param duration number|string
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ...
function tasks.timeout(duration, fn, ...)
  local limit = { kind = "duration", required = true }
  local ms = schema.check(limit, duration, "titan.timeout")
  local future = tasks.go(fn, ...)
  local waited, err = pcall(wait, future, ms)
  if future.state == "pending" then
    future:cancel()
    if not waited then
      error(err, 0)
    end
    errors.raise("timeout", string.format("not done within %d ms (titan.timeout)", ms))
  end
  return future:await()
end

--- Waits until every task has ended, or for so long.
---@param ms? integer
function tasks.wait_all(ms)
  local deadline = ms and core.monotonic_ms() + ms
  local future = next(pending)
  while future and not (deadline and core.monotonic_ms() >= deadline) do
    wait(future, deadline and math.ceil(deadline - core.monotonic_ms()))
    future = next(pending)
  end
end

--- Cancels every task that has not ended.
function tasks.cancel_all()
  local living = {}
  for future in next, pending do
    living[#living + 1] = future
  end
  for _, future in ipairs(living) do
    future:cancel()
  end
end

--- Forgets what belongs to a run that has ended; reports the errors nobody awaited.
---@return boolean whether there was none
function tasks.end_run()
  for guard in next, unasked do
    report_unasked(guard)
  end
  local ok = not tasks.failed
  tasks.failed = false
  pending = {}
  return ok
end

tasks.failed = false -- whether an error nobody awaited has been reported

return tasks
