--- What runs inside a worker: loads its class, serves its methods, ends in order.
--
-- The C core calls `warm_up` once in the zygote, or `prepare` on a thread, then in each worker
-- `start`, `proceed` when the manager has seen the declaration, and `shutdown`. What begins it,
-- `prepare` and `start`, is in titan.worker.starting.
--
-- Every worker has this file. All else is in files of its own in this folder, loaded when it is
-- needed: a worker on a thread has loaded nothing before.

local core = require "titan.core"
local errors = require "titan.errors"

---@class titan.RunningWorker
---@field timeout integer ms, of calls to others
---@field class? titan.Class
---@field self? table
---@field functions? table<string, titan.MethodFn>
---@field proceed? fun(answer: { name: string }) set while it waits for the manager
---@field outbox? titan.Outbox of the spans, when tracing is on

local worker = {}

--- This worker, once it has begun to start.
---@type titan.RunningWorker?
worker.current = nil

--- Classes that were preloaded by file rather than by name.
---@type table<string, any>?
worker.preloaded = nil

--- The message handler of everything that runs here. Loads what it needs with the first error;
--- where there is no room for that, at the end of the stack, the error has to do without.
---@param err any
---@return table
function worker.packed(err)
  local loaded, remote_error = pcall(require, "titan.remote_error")
  if loaded then
    return remote_error.pack(err)
  end
  return setmetatable({
    code = "remote_error", message = tostring(err), retryable = false,
    traceback = debug.traceback(nil, 2),
  }, errors.metatable)
end

--- The error for a method that cannot be called.
---@param name string
---@return titan.Error
function worker.refuse(name)
  return require("titan.proxy.missing").of_class(worker.current.class, name)
end

--- Called when the manager has agreed to what was declared.
---@param answer { name: string, resources: titan.LimitsSpec? } what the process is called
function worker.proceed(answer)
  local proceed = worker.current.proceed
  if proceed then
    proceed(answer)
  end
end

--- Called once: runs the on_shutdown methods, beside the calls that are still in flight.
function worker.shutdown()
  core.use("titan.worker.ending").begin(worker.current)
end

return setmetatable(worker, { __index = core.later {
  warm_up = "titan.worker.zygote:warm_up", limber = "titan.worker.zygote:limber",
  service = "titan.worker.services:service",
} })
