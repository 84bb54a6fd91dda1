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
local pause = require "titan.pause"
local traces = require "titan.traces"

local tasks = {}

---@class titan.Future
---@field package state "pending"|"done"|"failed"
---@field package co? thread the coroutine, while pending
---@field package listeners? titan.Listeners while pending
---@field package error? any
---@field package guard? { text: string, asked: boolean? } while failed
---@field package ignored? boolean whether its error is no news, should there be one
local Future = {}

---@class titan.Listeners called once the future is settled, in this order
---@field [integer] fun()? from 1 to last; nil where one was taken back
---@field last integer
Future.__index = Future
Future.__name = "titan.Future"

-- Raises `invalid_config`; see schema.refuse, which is loaded when there is something to refuse.
---@param path string
---@param why string
---@param value any
---@param allowed string
local function refuse(path, why, value, allowed)
  require("titan.schema").refuse(path, why, value, allowed)
end

-- The futures of tasks that have not ended: what a run waits for. By the coroutine's future.
local pending = {}

-- Errors nobody has asked for yet. The keys are guards: tables whose collection means
-- that nobody can ask any more.
local unasked = setmetatable({}, { __mode = "k" })

---@param guard { text: string, asked: boolean? }
local function report_unasked(guard)
  if not guard.asked then
    guard.asked = true
    tasks.failed = true
    io.stderr:write("titan: an error in a task that nobody awaited: ", guard.text, "\n")
  end
end

local Guard = { __gc = report_unasked }

--- See titan.traces.
tasks.noted_trace, tasks.trace, tasks.take_trace = traces.noted, traces.note, traces.take

---@param future titan.Future
local function notify(future)
  local listeners = future.listeners or { last = 0 }
  future.listeners = nil
  for i = 1, listeners.last do
    if listeners[i] then
      listeners[i]()
    end
  end
end

---@param future titan.Future a pending one
---@param listener fun()
---@return integer ticket for `unlisten`
local function listen(future, listener)
  local listeners = future.listeners or { last = 0 }
  future.listeners = listeners
  listeners.last = listeners.last + 1
  listeners[listeners.last] = listener
  return listeners.last
end

-- A future that lives for long must not collect those who no longer wait.
---@param future titan.Future
---@param ticket integer
local function unlisten(future, ticket)
  if future.listeners then
    future.listeners[ticket] = nil
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
    local err = ...
    future.state = "failed"
    future.error = err
    future.guard = setmetatable({
      text = describe(err, tasks.take_trace(err)), asked = future.ignored,
    }, Guard)
    unasked[future.guard] = true
  end
  notify(future)
end

--- Who owns the running task; see `tasks.owners`.
---@return titan.TaskOwner?
function tasks.owner()
  return tasks.owners and tasks.owners[coroutine.running()]
end

--- Starts a task.
---@param fn fun(...): ...
---@param ... any its arguments
---@return titan.Future
function tasks.go(fn, ...)
  if type(fn) ~= "function" then
    local why = "expected a function, given a " .. type(fn)
    refuse("titan.go", why, fn, "a function")
  end
  local future = setmetatable({ state = "pending" }, Future)
  local owner = tasks.owner()
  if owner then
    fn = owner:adopt(future, fn)
  else
    pending[future] = true
  end
  local co = core.go(tasks.trace, function(...)
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

---@param future titan.Future
---@param ms integer?
local function park(future, ms)
  local deadline = ms and core.monotonic_ms() + ms
  repeat
    local left = deadline and math.max(0, math.ceil(deadline - core.monotonic_ms()))
    core.park(left)
  until future.state ~= "pending" or left == 0
end

-- Waits until the future is settled, or for so long.
---@param future titan.Future
---@param ms integer?
local function wait(future, ms)
  if future.state ~= "pending" then
    return
  end
  local co = core.current()
  local ticket = listen(future, function()
    core.unpark(co)
  end)
  local ok, err = pcall(park, future, ms)
  unlisten(future, ticket)
  if not ok then
    error(err, 0)
  end
end

--- Waits until the future is settled, or for so long.
---@param future titan.Future
---@param ms? integer
---@return boolean settled
function tasks.wait(future, ms)
  wait(future, ms)
  return future.state ~= "pending"
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

--- Nobody will await it, and its error is no news.
---@return titan.Future self
function Future:ignore()
  self.ignored = true
  if self.guard then
    self.guard.asked = true
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
  local is_future = getmetatable(futures) == Future
  if type(futures) ~= "table" or is_future then
    local given = is_future and "future" or type(futures)
    refuse(what, "expected a list of futures, given a " .. given, futures, "a list")
  end
  for i, future in ipairs(futures) do
    if getmetatable(future) ~= Future then
      local path = string.format("%s[%d]", what, i)
      refuse(path, "expected a future, given a " .. type(future), future,
        "what titan.go or proxy.async:method() returned")
    end
  end
end

-- Calls `listener` when each of the futures is settled, now for those that are, and waits for
-- `whole`, which it settles. What comes after that is heard no more, but no news either.
---@param futures titan.Future[]
---@param listener fun(future: titan.Future)
---@param whole titan.Future
local function await_each(futures, listener, whole)
  local tickets = {}
  whole:ignore()
  for i, future in ipairs(futures) do
    future:ignore()
    if future.state == "pending" then
      tickets[i] = listen(future, function()
        listener(future)
      end)
    else
      listener(future)
    end
  end
  local ok, err = pcall(whole.await, whole)
  for i, ticket in pairs(tickets) do
    unlisten(futures[i], ticket)
  end
  if not ok then
    error(err, 0)
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
  if left == 0 then
    finish(true)
  end
  await_each(futures, function(future)
    left = left - 1
    if future.state == "failed" then
      finish(false, future.error)
    elseif left == 0 then
      finish(true)
    end
  end, all)
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
    refuse("titan.race", "a race of nobody never ends", futures, "one future at least")
  end
  local first
  local race, finish = tasks.promise()
  await_each(futures, function(future)
    first = first or future
    finish(true)
  end, race)
  return first:await()
end

--- See titan.pause.
tasks.sleep = pause.sleep

-- What `fn` calls has no more time than it has itself.
---@param ms integer
---@param fn fun(...): ...
local function run_limited(ms, fn, ...)
  local _limit <close> = core.time_limit(ms)
  return fn(...)
end

--- Runs `fn` for so long at the most. Returns what it returns, raises what it raises;
--- raises `timeout` when the time is over, and cancels it.
---@param duration number|string
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ...
function tasks.timeout(duration, fn, ...)
  local ms = pause.ms_of(duration, "titan.timeout")
  if type(fn) ~= "function" then
    refuse("titan.timeout", "expected a function, given a " .. type(fn), fn, "a function")
  end
  local future = tasks.go(run_limited, ms, fn, ...)
  local waited, err = pcall(wait, future, ms)
  if not waited or future.state == "pending" then
    future:cancel()
    future:ignore()
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

--- The call that the running task is part of, as its method may want to know it: the `headers` and
--- the `idempotency_key` that its caller gave, and `time_left` (ms, or nil).
---@return { headers: table<string, string>, idempotency_key: string?, time_left: integer? }
function tasks.context()
  local context = core.context() or {}
  return {
    headers = context.headers or {}, idempotency_key = context.idempotency_key,
    time_left = core.time_left(),
  }
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

--- Set by titan.testing: who owns the tasks that are started in a coroutine. They end with their
--- owner, and no run waits for them. `adopt` gets the future of a new one and returns the function
--- to be run in it.
---@type table<thread, titan.TaskOwner>?
tasks.owners = nil

tasks.failed = false -- whether an error nobody awaited has been reported

return tasks
