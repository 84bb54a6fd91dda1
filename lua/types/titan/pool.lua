---@meta _

--- Workers of one class behind one queue, called like a process: `pool:method(...)`.
---
--- A call raises, beside what calls of a process do, `overloaded` when too many wait,
--- `circuit_open` with `circuit_breaker`, `worker_lost` when its worker was lost and the method is
--- not idempotent, or when the pool has failed, `shutting_down` when it is drained, `destroyed` when
--- it has been stopped. The names here win over methods of the class; `invoke` reaches those.
---@class titan.PoolProxy
--- What it is called.
---@field name string
--- How many workers it has now.
---@field size integer
--- How many of them have calls now.
---@field active integer
--- How many calls wait now.
---@field pending integer
--- The same methods, each of which returns a future at once.
---@field async titan.Async
---@field [string] fun(self: titan.PoolProxy, ...): ...
local PoolProxy = {}

--- The pool, with these options for its calls. Those left out are what they were.
---
--- Raises `invalid_config`.
---@param options titan.pool.CallOptions
---@return titan.PoolProxy
function PoolProxy:with(options) end

--- Calls a method, whatever its name.
---@param method string
---@param args? table a list, with `n` if nils are in it
---@return any ...
function PoolProxy:invoke(method, args) end

--- Another size. Waits until all workers are ready and those too many have ended.
---
--- Raises what a worker that could not start failed with.
---@param size integer not below `min`, not above `max`, when these were given
---@return true
function PoolProxy:scale(size) end

--- Replaces every worker, one after the other, each when its successor is ready. No call is lost.
---
--- Raises what a successor failed with; then the others stay as they are.
---@return true
function PoolProxy:reload() end

--- No new calls from here on: they raise `shutting_down`. Waits until the others have ended.
---@return true
function PoolProxy:drain() end

--- Ends it, and waits for that. Calls that wait end with `destroyed` at once.
---@param timeout? titan.Duration for calls under way; `shutdown_timeout` unless told
---@return true
function PoolProxy:destroy(timeout) end

--- What it has done and how its workers are.
---@return titan.pool.Metrics
function PoolProxy:metrics() end

--- Options of the calls of a pool.
---@class titan.pool.CallOptions: titan.call.Options
--- -1000 to 1000: of the calls that wait the highest goes first; 0 unless told.
---@field priority? integer
--- With consistent_hash and ip_hash: calls with the same go to the same worker.
---@field key? string|number

--- Which worker gets a call.
---@alias titan.pool.Strategy
---| "round_robin"          # the next in turn
---| "random"               # any
---| "power_of_two"         # of two random ones that with fewer calls
---| "least_connections"    # that with the fewest calls
---| "least_loaded"         # that with the least calls x mean duration
---| "least_response_time"  # that with the least latency x (calls + 1)
---| "latency"              # of two random ones that with the lower peak latency x (calls + 1)
---| "adaptive"             # as least_response_time, but for failures and weights
---| "weighted_round_robin" # in turn, in proportion to the weights
---| "weighted"             # any, in proportion to the weights
---| "consistent_hash"      # that of the key; when workers come or go few keys move
---| "ip_hash"              # that of the key, modulo the number of workers

--- Options of `pm:create_pool`.
---@class titan.pool.Options
--- What it is called; its workers are NAME-1, NAME-2 ... What its class is called unless told.
---@field name? string
--- Workers at first; "auto": as many as there are processors. `min`, else "auto", unless told.
---@field size? integer|"auto"
--- What idle_timeout and auto_scale leave; the start waits for so many. 1, and the start waits for
--- all, unless told.
---@field min? integer
--- What auto_scale goes up to, and what `scale` refuses to go beyond. The processors, or `size`,
--- and no bound for `scale`, unless told.
---@field max? integer
--- Which worker gets a call. (default: "power_of_two")
---@field strategy? titan.pool.Strategy
--- Of worker 1, 2 ..., for the strategies that weigh; 1 for those left out.
---@field weights? integer[]
--- Calls that one worker has at a time. (default: 128)
---@field max_concurrency? integer
--- Calls that may wait for a worker; one more is `overloaded`. (default: 1000)
---@field max_queue_size? integer
--- Of a call, its waiting and repeating included; `resources.timeout` unless told, false for none.
---@field request_timeout? titan.Duration|false
--- Called for each worker, in each of its lives, before it gets calls: a function, or the name of a
--- method. When it fails, the start has failed.
---@field warmup? string|fun(worker: titan.Proxy)
--- Calls after which a worker is replaced; never unless told.
---@field recycle_after? integer
--- Time after which a worker is replaced; never unless told.
---@field max_lifetime? titan.Duration
--- Without a call for so long a worker retires, down to `min`; never unless told.
---@field idle_timeout? titan.Duration
--- A worker with more memory is replaced; none is unless told.
---@field memory_limit? titan.Size
--- Share of it, 0 to 1, for the event pool:memory; 0.8 unless told.
---@field memory_warning_threshold? number
--- Whether an unhealthy worker gets no more calls and is replaced. (default: true)
---@field replace_unhealthy? boolean
--- How often every worker is asked how it is: `health_check.interval` in short.
---@field heartbeat? titan.Duration
--- How every worker is asked how it is, over the config's; false: never by itself.
---@field health_check? titan.health.Options|false
--- Whether and when the pool changes its size by itself; never unless told.
---@field auto_scale? titan.pool.AutoScale
--- Refuses calls with `circuit_open` while its workers fail; never unless told. A failure is
--- `worker_lost`, `timeout` or `protocol_error`.
---@field circuit_breaker? titan.pool.CircuitBreaker
--- Options of `pm:spawn` for every worker.
---@field spawn_options? titan.spawn.Options
--- Gets the number of a worker, returns options over those; a worker that replaces another has its
--- number.
---@field spawn_options_factory? fun(index: integer): titan.spawn.Options?

--- When a pool changes its size. It is as large as its targets need, between `min` and `max`.
---@class titan.pool.AutoScale
--- Whether it does. (default: true)
---@field enabled? boolean
--- Between two decisions. (default: "5s")
---@field interval? titan.Duration
--- Target: calls that wait, per worker; 1, if there is no other target.
---@field queue? number
--- Target: calls under way, as a share of what max_concurrency allows, 0 to 1.
---@field busy? number
--- Target: mean share of a processor, 0 to 1.
---@field cpu? number
--- Target: what 95 of 100 calls stay below.
---@field latency? titan.Duration
--- Ceiling: all workers together have no more than `max` times this.
---@field memory? titan.Size
--- How long the pool is larger than needed before it shrinks by one. (default: "30s")
---@field cooldown? titan.Duration
--- Between two growths; 5 s, or `cooldown` if shorter, unless told.
---@field growth_cooldown? titan.Duration

--- Refuses the calls of a pool while its workers fail.
---@class titan.pool.CircuitBreaker
--- Failures in a row that open it. (default: 5)
---@field failure_threshold? integer
--- How long it stays open. (default: "30s")
---@field timeout? titan.Duration
--- Calls let through after that; as many successes close it. (default: 1)
---@field half_open_requests? integer

--- What a pool has done and how its workers are.
---@class titan.pool.Metrics
---@field name string
---@field state "starting"|"running"|"draining"|"stopping"|"failed"|"ended"
--- Workers.
---@field size integer
--- Workers with calls.
---@field active integer
--- Workers without calls.
---@field idle integer
--- Calls that wait.
---@field pending integer
--- Calls that have a worker.
---@field in_flight integer
--- Calls let in so far.
---@field calls integer
--- Of those that ended: with an error.
---@field errors integer
--- Calls made again, since their worker was lost.
---@field retries integer
--- Calls refused.
---@field rejected integer
--- With a circuit_breaker.
---@field circuit? "closed"|"open"|"half_open"
--- From a worker's getting the call to its answer.
---@field latency titan.Latency
---@field workers titan.pool.WorkerMetrics[]

--- How one worker of a pool is.
---@class titan.pool.WorkerMetrics
--- Its number, from 1.
---@field index integer
---@field state "starting"|"warming"|"up"|"down"|"retiring"
--- Calls given to it so far.
---@field calls integer
--- Calls it has now.
---@field in_flight integer
--- Ms that it has been up.
---@field age integer
--- Bytes, if there is a memory_limit or a ceiling.
---@field memory? integer
--- Why it is to be replaced.
---@field due? "recycle_after"|"max_lifetime"|"memory_limit"|"unhealthy"|"reload"
--- Of its process, while it has one.
---@field id? string
---@field name? string
---@field pid? integer
---@field restarts? integer
