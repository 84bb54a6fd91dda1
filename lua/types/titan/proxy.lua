---@meta _

--- Stands in for a process: `proxy:method(...)` is a call of its method, and suspends the task.
---
--- To have its methods completed, declare them: `---@class Store: titan.Proxy` with
--- `---@field get fun(self: Store, key: string): string?`, and `---@type Store` at the variable.
---
--- A call raises `method_not_found`, `not_public`, `validation_failed`, `timeout`, `worker_lost`,
--- `limit_exceeded`, `shutting_down`, `destroyed`, what annotations of the method raise
--- (`rate_limited`, `circuit_open`, `overloaded`), or with `remote_error` what the method raised. A
--- call of a method with `stream` returns titan.Items: `for row in proxy:rows() do`.
---@class titan.Proxy
--- The same methods, each of which returns a future at once.
---@field async titan.Async
---@field [string] fun(self: titan.Proxy, ...): ...
local Proxy = {}

--- A proxy whose calls have these options. Those left out are what they were.
---
--- Raises `invalid_config`.
---@param options titan.call.Options
---@return titan.Proxy
function Proxy:with(options) end

--- The id of the process, such as "w3".
---@return string
function Proxy:__id() end

--- Stops the process, as `pm:stop_process`.
---@return true? stopped nil, with an error, when it was not alive or had to be killed
---@return titan.Error?
function Proxy:__destroy() end

--- What it has done and what it uses, as `pm:get_metrics`.
---@return titan.Metrics?
function Proxy:__metrics() end

--- How it is; found out now if nobody has looked yet, and then waits for that.
---@return titan.Health
function Proxy:__health() end

--- What a call of a method with `stream` returns, for a generic `for`: the values of the next item,
--- nil at the end. Raises what the method raises. To leave the loop ends the call.
---@alias titan.Items fun(): ...

--- The methods of a proxy, called side by side: `local future = proxy.async:get "a"`.
---@class titan.Async
---@field [string] fun(self: titan.Async, ...): titan.Future

--- Options of the calls of a proxy.
---@class titan.call.Options
--- Of each call, its waiting included; false for none.
---@field timeout? titan.Duration|false
--- Calls with the same are one, of a method that is idempotent by key; at most 256 bytes.
---@field idempotency_key? string
--- What the method finds in `titan.context().headers`.
---@field headers? table<string, string>
