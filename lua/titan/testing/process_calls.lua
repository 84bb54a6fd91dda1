--- How a mock process is called. These are methods of titan.MockProcess.

local core = require "titan.core"
local errors = require "titan.errors"
local gate = require "titan.testing.gate"
local layers = require "titan.config.layers"
local proxy = require "titan.proxy"
local remote_error = require "titan.remote_error"
local streams = require "titan.testing.stream"
local tasks = require "titan.tasks"

---@class titan.MockProcess
local Process = {}

local KILLED <const> = "was killed by SIGKILL"

---@class titan.MockCall
---@field method string
---@field record titan.RecordedCall
---@field number table of the numbers
---@field future titan.Future
---@field settle fun(ok: boolean, ...)
---@field co? thread
---@field timeout integer ms; 0 for none
---@field limit integer the same, as far as there is time for it
---@field stream? titan.MockStream with which it is answered

--- The values as they would arrive on the other side, packed.
---@param what string
---@param ... any
---@return table
function Process:_passed(what, ...)
  local limits = self.spawner.config.limits
  return table.pack(core.passed(what, limits.frame, limits.nesting, ...))
end

---@param method string
function Process:_check_callable(method)
  local status, ended = self.status, self.ended:done()
  if status == "running" then
    return
  end
  local code, why = "worker_lost", self.last_error and self.last_error.message or KILLED
  if status == "stopped" then
    code, why = "destroyed", "the worker has been stopped"
  elseif status == "stopping" then
    code, why = "shutting_down", "the worker is stopping"
  elseif status == "starting" then
    why = "the worker is not ready yet"
  else
    why = (ended and "the worker is gone: " or "the worker is down and to be started again: ")
      .. why
  end
  error(self:_failure(code, why, method), 0)
end

-- What the caller gets of what the method raised: the first form of it that can travel.
---@param self titan.MockProcess
---@param err table as remote_error.pack makes it
---@param method string
---@return titan.Error
local function travelled(self, err, method)
  local sent = {}
  for key, value in next, err do
    sent[key] = value
  end
  local ok, passed = pcall(self._passed, self, "error", sent)
  if not ok then
    sent.details, sent.traceback = nil, nil
    sent.message = type(sent.message) == "string" and sent.message:sub(1, 1024) or nil
    ok, passed = pcall(self._passed, self, "error", sent)
  end
  if not ok then
    return self:_failure("remote_error", "the method raised an error that cannot travel", method)
  end
  return remote_error.receive(passed[1], self.name, method)
end

---@param call titan.MockCall
---@param ok boolean
---@param ... any the results, or the error
local function settle(call, ok, ...)
  if call.stream then
    call.record.error = not ok and (...) or nil
    return call.stream:finish(ok, (...))
  elseif call.future:done() then
    return
  elseif ok then
    call.record.results = table.pack(...)
  else
    call.record.error = (...)
  end
  call.settle(ok, ...)
end

---@param call titan.MockCall
---@param ok boolean
---@param ... any
function Process:_call_ended(call, ok, ...)
  local results, err
  if ok then
    ok, results = pcall(self._passed, self, "result", ...)
    err = not ok and self:_failure(results.code, results.message, call.method)
  else
    err = travelled(self, (...), call.method)
  end
  if self.in_flight[call] then
    self.in_flight[call] = nil
    self.numbers:ended(call.number, not ok)
  end
  if ok then
    settle(call, true, table.unpack(results, 1, results.n))
  else
    settle(call, false, err)
  end
  self:_look_whether_drained()
end

-- Waits for the answer, for so long; then nobody waits for the method any more.
---@param self titan.MockProcess
---@param call titan.MockCall
---@param timeout integer
local function await(self, call, timeout)
  local waited, why = pcall(tasks.wait, call.future, timeout > 0 and timeout or nil)
  if not call.future:done() then
    if waited then
      why = self:_failure("timeout", string.format("no answer within %d ms", timeout),
        call.method)
    end
    settle(call, false, why)
    core.interrupt(call.co, errors.new("cancelled", "the caller no longer waits"))
  end
  return call.future:await()
end

-- Goes along with every call by itself.
local inherited <const> = { "traceparent", "tracestate" }

-- What the method finds of its caller, as the header of a request would bring it.
---@param given? table the pairs of the header
---@return table?
local function context_of(given)
  local around, context = core.context() or {}, {}
  for _, name in ipairs(inherited) do
    context[name] = type(around[name]) == "string" and around[name] or nil
  end
  for name, value in pairs(given or {}) do
    context[name] = value
  end
  if context.headers then
    context.headers = layers.over(context.headers) -- a copy, which is the method's own
  end
  return next(context) and context or nil
end

-- Answers the call with a stream. From here on its time is that of an item.
---@param self titan.MockProcess
---@param call titan.MockCall
---@param limit any to be closed
---@param ... any the iterator
local function answer_with_stream(self, call, limit, ...)
  if call.stream then
    error("titan: a request is answered with one stream, and this one is already; it cannot be "
      .. "begun again", 0)
  end
  streams.answer({
    timeout = call.timeout,
    failure = function(code, message)
      return self:_failure(code, message, call.method)
    end,
    pack = function(...)
      return self:_passed("item value", ...)
    end,
  }, function(stream, ...)
    if call.future:done() then
      errors.raise("cancelled", "the caller no longer waits")
    elseif limit then
      getmetatable(limit).__close(limit)
    end
    call.stream, call.record.items = stream, stream.items
    call.settle(true, ...)
  end, ...)
end

-- Runs the method as part of the call.
---@param self titan.MockProcess
---@param call titan.MockCall
---@param context table?
---@param fn titan.MethodFn
---@param ... any
---@return any ...
local function serve(self, call, context, fn, ...)
  local answering, co = self.owner.answering, coroutine.running()
  local limit <close> = call.limit > 0 and core.time_limit(call.limit) or nil
  local _ <close> = setmetatable({}, {
    __close = function()
      answering[co] = nil
    end,
  })
  core.set_context(context)
  answering[co] = function(...)
    answer_with_stream(self, call, limit, ...)
  end
  return fn(...)
end

-- What a test has written down, or the method.
---@param self titan.MockProcess
---@param method string
---@return titan.MethodFn
local function function_of(self, method)
  local scripted = self.spawner:_scripted(self, method)
  if scripted and self.class.methods[method].stream then
    return function(...)
      self.owner.stream_items(scripted(...))
    end
  end
  return scripted or self.entries[method]
end

---@param self titan.MockProcess
---@param method string
---@param timeout integer ms; 0 for none
---@param given? table the pairs of the call's header
---@param ... any
---@return any ...
local function run(self, method, timeout, given, ...)
  local limit, ended_by_caller = core.time_for(timeout)
  if not limit then
    error(self:_failure("timeout", "no time is left of the call that this one is part of",
      method), 0)
  end
  local passed, args = pcall(self._passed, self, "argument", ...)
  if not passed then
    error(self:_failure(args.code, args.message, method), 0)
  end
  local fn = function_of(self, method)
  local call = { method = method, number = self.numbers:begun(method), timeout = timeout,
    limit = limit }
  call.record = self.spawner:_record(self, method, args)
  call.future, call.settle = tasks.promise()
  call.future:ignore()
  self.in_flight[call] = true
  call.co = self.owner:begin(function(...)
    self:_call_ended(call, ...)
  end, serve, self, call, context_of(given), fn, self.self, table.unpack(args, 1, args.n))
  return await(self, call, ended_by_caller and 0 or limit)
end

--- Asks a health_check method. It is counted as a call, but no test has made it.
---@param method string
---@return any ...
function Process:probe(method)
  local timeout = self.spawner.config.monitoring.health_check.timeout
  local future, finish = tasks.promise()
  local number = self.numbers:begun(method)
  future:ignore()
  local co = self.owner:begin(function(ok, ...)
    self.numbers:ended(number, not ok)
    if ok then
      finish(pcall(core.passed, "result", self.spawner.config.limits.frame,
        self.spawner.config.limits.nesting, ...))
    else
      finish(false, travelled(self, (...), method))
    end
  end, self.spawner:_scripted(self, method) or self.entries[method], self.self)
  if not tasks.wait(future, timeout) then
    finish(false, self:_failure("timeout", string.format("no answer within %d ms", timeout),
      method))
    core.interrupt(co, errors.new("cancelled", "the caller no longer waits"))
  end
  return future:await()
end

--- A call, as a proxy makes it.
---@param method string
---@param timeout integer
---@param given? table the pairs of its header
---@param ... any
---@return any ...
function Process:call(method, timeout, given, ...)
  core.current()
  self:_check_callable(method)
  return run(self, method, timeout, given, ...)
end

--- The call of one who knows only the service's name.
---@param method string
---@param timeout integer
---@param how titan.CallOptions
---@param ... any
---@return any ...
function Process:call_by_name(method, timeout, how, ...)
  core.current()
  self:_check_callable(method)
  if not self.info.methods[method] then
    error(proxy.no_such_method(self.info, method), 0)
  end
  return run(self, method, timeout, how.pairs, ...)
end

---@return titan.Backend
function Process:_backend()
  local timeout = self.options.timeout
  if timeout == nil then
    timeout = self.spawner.config.resources.timeout
  end
  local gated = gate.of(self.spawner, self.scope, function()
    return self
  end)
  return {
    name = self.name, timeout = timeout or 0,
    own = {
      __id = function()
        return self.id
      end,
      __destroy = function()
        return self.spawner:stop_process(self.id)
      end,
      __metrics = function()
        return self:get_metrics()
      end,
      __health = function()
        return self:check_health()
      end,
    },
    text = function()
      return string.format("titan service %s (%s)", self.name, self.status)
    end,
    method = function(of, name, deadline, how)
      if not self.info.methods[name] then
        return proxy.refusal(proxy.no_such_method(self.info, name)), false
      end
      return gate.method(gated, of, name, deadline, how, function(header)
        return function(given, ...)
          proxy.check_self(given, of, name)
          return self:call(name, deadline, header, ...)
        end
      end)
    end,
  }
end

--- Those that are under way end with this, whatever their methods do.
---@param code titan.ErrorCode
---@param message string
function Process:_fail_calls(code, message)
  local failed = self.in_flight
  self.in_flight = {}
  for call in pairs(failed) do
    self.numbers:ended(call.number, true)
    settle(call, false, self:_failure(code, message, call.method))
  end
end

--- The process is no more: neither are its calls and its tasks.
---@param how string
function Process:_lose_calls(how)
  self:_fail_calls("worker_lost", string.format("the worker %s in the middle of this call", how))
  self.owner:close()
  self.spawner.stores:abandon_all(self.owner)
end

return Process
