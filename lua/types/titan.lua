---@meta titan

-- What a program written with Titan can use, for lua-language-server. Nothing here runs.
--
-- A default is written as `(default: "30s")`; an option without one says what holds instead. Where
-- a method answers for a call, the codes of the errors it raises are named: see titan.Error.

--- Milliseconds, or text: "250ms", "1.5s", "5m", "1h".
---@alias titan.Duration number|string

--- Bytes, or text: "10B", "64KB", "512MB", "1GB" (powers of 1024).
---@alias titan.Size number|string

--- What `pm:spawn` starts: the name of a module, the path of a file ("./store.lua"), or what
--- titan.process returned.
---@alias titan.ClassGiven string|titan.Class

--- Titan: workers written in Lua, as processes, called as if they were local.
---@class titan
--- Of this Titan: "0.1.0".
---@field version string
--- What a module made by titan.for_root can be asked for.
---@field tokens titan.Tokens
--- What tests need: workers without processes, a clock that moves when it is told to.
---@field testing titan.testing
local titan = {}

--- Declares a class of workers. It is what the module of the class returns.
---
--- Raises `invalid_config` with the path, as in `image-worker.methods.resize.pubic`.
---@param declaration titan.process.Declaration
---@return titan.Class
function titan.process(declaration) end

--- Declares a supervisor, for `pm:create_supervisor` or as a child of another. Everything below it
--- is checked here.
---
--- Raises `invalid_config` with the path.
---@param declaration titan.supervisor.Declaration
---@return titan.SupervisorDeclaration
function titan.supervisor(declaration) end

--- Makes a manager, which starts workers and knows them by name. Not inside a worker.
---
--- Raises `invalid_config`.
---@param config? titan.manager.Config
---@return titan.Manager
function titan.manager(config) end

--- Runs `fn` as a task, and the loop until it, its tasks and its workers have ended. For a program
--- that is started with a stock Lua; `titan run app.lua` does it for a whole script.
---
--- Raises what `fn` raises. After a SIGTERM or SIGINT it returns nothing.
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... what fn returns
function titan.run(fn, ...) end

--- Starts a task: `fn` runs at once until it first waits. An error that nobody awaits is printed
--- and makes the run fail.
---@param fn fun(...): ...
---@param ... any its arguments
---@return titan.Future
function titan.go(fn, ...) end

--- Suspends the task. Raises `cancelled` when the task is cancelled meanwhile.
---@param duration titan.Duration
function titan.sleep(duration) end

--- Waits for all. Raises the first error as soon as there is one; the others go on.
---@param futures titan.Future[]
---@return { n: integer } results the first result of each, in their order
function titan.all(futures) end

--- Waits for the first that ends, and returns or raises what it did; the others go on.
---@param futures titan.Future[] one at least
---@return any ...
function titan.race(futures) end

--- Runs `fn` for so long at the most, as a task; the calls it makes have no more time either.
---
--- Raises what `fn` raises, or `timeout` when the time is over, and then cancels it.
---@param duration titan.Duration
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... what fn returns
function titan.timeout(duration, fn, ...) end

--- A string that is the same for the same values, whatever the order of a table's keys; of 32 bytes
--- at most. What a `key_fn` may want. 1 and 1.0 are not the same, nor are nothing and nil.
---
--- Raises `validation_failed` for what cannot travel.
---@param ... any
---@return string
function titan.digest(...) end

--- Memory that is shared with whoever it is sent to. Zeroed, or with the bytes of a string.
---
--- Raises `limit_exceeded` when memory or descriptors are out.
---@param content integer|string how many bytes, or the bytes
---@return titan.Buffer
function titan.buffer(content) end

--- What the running call is part of, as its method may want to know it.
---@return titan.Context
function titan.context() end

--- Runs `fn` as a span of its own: a child of the one around it, or the first of a trace. Calls and
--- tasks that `fn` starts are its children. Without `monitoring.tracing` it only runs `fn`.
---
--- Raises what `fn` raises.
---@param name string of the span
---@param attributes titan.SpanAttributes which may be left out
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ... what fn returns
---@overload fun(name: string, fn: (fun(...): ...), ...: any): ...
function titan.span(name, attributes, fn, ...) end

--- Inside a worker: a proxy for another service of its manager, a process or a pool. Its calls
--- raise `worker_lost` when no such service runs.
---
--- Raises `invalid_config` outside of a worker; there use `pm:discover`.
---@param name string
---@return titan.Proxy
function titan.service(name) end

--- Whether a value is an error object of Titan's.
---@param value any
---@return boolean
function titan.is_error(value) end

--- A module of this config: its `get` makes the manager, and what else there is a token for, when
--- it is first asked for. Nothing is started before that.
---
--- Raises `invalid_config`.
---@param config? titan.manager.Config
---@param overrides? table<titan.Token, any> values or factories, as with `module:override`
---@return titan.Module
function titan.for_root(config, overrides) end

--- A module whose config is made when it is first needed.
---
--- Raises `invalid_config`.
---@param options titan.root.AsyncOptions
---@return titan.Module
function titan.for_root_async(options) end

--- The call that the running task is part of.
---@class titan.Context
--- What the caller said with `proxy:with { headers = }`; empty when nothing.
---@field headers table<string, string>
--- What the caller said with `proxy:with { idempotency_key = }`.
---@field idempotency_key? string
--- Ms until the deadline of the call; nil when it has none.
---@field time_left? number

return titan
