---@meta _

--- Starts workers, knows them by name, tells what happens to them.
---@class titan.Manager
--- The complete config: durations in ms, sizes in bytes.
---@field config titan.Config
--- What `spawn` and `create_pool` go through.
---@field spawner titan.Spawner
local Manager = {}

--- Starts a worker and waits until it is ready.
---
--- Raises `invalid_config`; `spawn_failed` with the worker's own words and the end of its stderr;
--- `startup_timeout`; `shutting_down`.
---@param class titan.ClassGiven
---@param options? titan.spawn.Options
---@return titan.Proxy
function Manager:spawn(class, options) end

--- Makes a pool and waits until `min` of its workers are ready (all, if that is not given).
---
--- Raises `invalid_config`, or what the first worker that could not start failed with, and then
--- leaves nothing behind.
---@param class titan.ClassGiven
---@param options? titan.pool.Options
---@return titan.PoolProxy
function Manager:create_pool(class, options) end

--- Makes a supervisor, stopped: `start` starts it. Everything below it is checked first.
---
--- Raises `invalid_config`.
---@param spec titan.SupervisorDeclaration|titan.supervisor.Declaration|string or a module of one
---@param options? { name: string? }
---@return titan.Supervisor
function Manager:create_supervisor(spec, options) end

--- The pool, or the proxy of the running process, of that name; nil when there is none.
---@param name string
---@return titan.Proxy|titan.PoolProxy|nil
function Manager:discover(name) end

--- What is known of a process, also for a while after its end; nil when there is none.
---@param key string its id or name
---@return titan.ProcessInfo?
function Manager:get_process_info(key) end

--- All of them: those that ended first (the last 256), then those alive, oldest first.
---@return titan.ProcessInfo[]
function Manager:get_all_processes() end

--- What a process has done and what it uses, also for a while after its end; nil when there is
--- none. Without a key a table of id -> metrics of all that live.
---@param key string its id or name
---@return titan.Metrics?
---@overload fun(self: titan.Manager): table<string, titan.Metrics>
function Manager:get_metrics(key) end

--- How all is: the worst of all processes, one not checked yet counting as healthy.
---@return titan.manager.Health
function Manager:health() end

--- How tracing goes, since the manager was made; nil without `monitoring.tracing`.
---@return titan.TracingCounters?
function Manager:tracing() end

--- Stops a process: its on_shutdown methods run, calls in flight finish, and at the deadline its
--- whole process group is killed. Waits for its end.
---@param key string its id or name
---@param timeout? titan.Duration 0 kills at once; the spawn's, else the config's unless told
---@return true? stopped nil, with an error, when it was not alive or had to be killed
---@return titan.Error?
function Manager:stop_process(key, timeout) end

--- Stops every supervisor and every pool, then every process, each after those that depend on it.
---@param timeout? titan.Duration for each; as in stop_process
---@return true? stopped nil, with the first error, when one had to be killed
---@return titan.Error?
function Manager:stop_all(timeout) end

--- Sends a signal; SIGKILL goes to the whole process group.
---
--- Raises `invalid_config` when there is no such signal.
---@param key string its id or name
---@param signal? string|integer "SIGTERM", "TERM" or 15; SIGKILL unless told
---@return true? sent nil, with an error, when it is not alive
---@return titan.Error?
function Manager:kill(key, signal) end

--- Kills what is left, frees everything. A run does this at its end.
function Manager:close() end

--- Calls `fn` at each event, in a task of its own.
---
--- Raises `invalid_config` when there is no such event.
---@param event titan.EventName
---@param fn fun(data: table)
---@return fun(data: table) fn for `off`
---@overload fun(self: titan.Manager, event: "process:spawn", fn: fun(info: titan.ProcessInfo)): fun()
---@overload fun(self: titan.Manager, event: "process:ready", fn: fun(info: titan.ProcessInfo)): fun()
---@overload fun(self: titan.Manager, event: "process:restart", fn: fun(info: titan.ProcessInfo)): fun()
---@overload fun(self: titan.Manager, event: "process:stop", fn: fun(info: titan.ProcessInfo)): fun()
---@overload fun(self: titan.Manager, event: "process:crash", fn: fun(report: titan.CrashReport)): fun()
---@overload fun(self: titan.Manager, event: "child:start-failed", fn: fun(data: titan.event.ChildStartFailed)): fun()
---@overload fun(self: titan.Manager, event: "child:failed", fn: fun(data: titan.event.ChildFailed)): fun()
---@overload fun(self: titan.Manager, event: "supervisor:failed", fn: fun(data: titan.event.SupervisorFailed)): fun()
---@overload fun(self: titan.Manager, event: "pool:scale", fn: fun(data: titan.event.PoolScale)): fun()
---@overload fun(self: titan.Manager, event: "pool:memory", fn: fun(data: titan.event.PoolMemory)): fun()
---@overload fun(self: titan.Manager, event: "pool:failed", fn: fun(data: titan.event.PoolFailed)): fun()
---@overload fun(self: titan.Manager, event: "health:change", fn: fun(data: titan.event.Health)): fun()
---@overload fun(self: titan.Manager, event: "health:critical", fn: fun(data: titan.event.Health)): fun()
---@overload fun(self: titan.Manager, event: "log", fn: fun(line: titan.event.Log)): fun()
function Manager:on(event, fn) end

--- Takes a handler back.
---
--- Raises `invalid_config` when there is no such event.
---@param event titan.EventName
---@param fn fun(data: table)
function Manager:off(event, fn) end

-- What it tells ------------------------------------------------------------------------------

---@alias titan.ProcessStatus
---| "pending"
---| "starting"
---| "running"
---| "stopping"
---| "stopped" # it was told to, or ended by itself in order
---| "failed"  # it did not start, or was given up
---| "crashed" # it is to be started again

--- What is known of a process.
---@class titan.ProcessInfo
--- Its id, such as "w3".
---@field id string
---@field name string
--- While there is a process.
---@field pid? integer
---@field status titan.ProcessStatus
---@field isolation "process"|"worker"|"thread"
---@field transport "unix"|"inproc"
--- Of its class.
---@field file? string
--- Of its class.
---@field version? string
--- Ms of the wall clock.
---@field start_time integer
--- Ms of the wall clock.
---@field end_time? integer
--- Ms since its last start, or from there to its end.
---@field uptime number
---@field restart_count integer
--- How it ended: "exited with code 3", "was killed by SIGKILL".
---@field exit? string
---@field exit_code? integer
--- Such as "SIGKILL".
---@field exit_signal? string
---@field last_error? titan.Error
--- The end of what it printed.
---@field stdout_tail string
---@field stderr_tail string
--- What it does.
---@field activity? titan.Activity
--- In short; more is in `pm:get_metrics`.
---@field metrics? titan.MetricsSummary
--- While it lives.
---@field health? titan.Health
--- What holds it, since it is ready; nil without `security`.
---@field sandbox? titan.Sandbox
--- What it may use, and what sees to that.
---@field limits? titan.Limits

--- What holds a process.
---@class titan.Sandbox
--- Complete.
---@field permissions titan.security.Permissions
---@field user? string
---@field group? string
---@field allowed_modules? string[]
--- Whether its system calls are filtered.
---@field seccomp boolean
--- The version of Landlock in use.
---@field landlock integer|false
--- What this system could not do, in words; only with `best_effort`.
---@field missing? string

--- What bounds a process. `by` says by what: "allocator" (the limit of the Lua heap), "cgroup2",
--- "cgroup1", "rlimit_as", "watch" (the manager looks), "interrupt" (of a call).
---@class titan.Limits
--- Bytes of the process, and those of them that the Lua heap may have.
---@field memory? { max: integer, heap: integer, by: string[] }
--- In processors.
---@field cpu? { max: number, by: string[] }
--- Those that were set; `cpu` in ms.
---@field rlimits table<string, integer>
--- Of a call that says no other.
---@field timeout? { ms: integer, by: string }

--- What a process does and did last.
---@class titan.Activity
---@field calls integer
---@field errors integer
---@field in_flight integer
--- Bytes, after the last call that ended.
---@field lua_heap integer
--- Whose code runs at the moment.
---@field running? { method: string, for_ms: number }
--- The newest first.
---@field last_calls titan.LastCall[]

--- A call that a process had lately.
---@class titan.LastCall
---@field method string
---@field ago_ms number
--- Nil while it runs.
---@field took_ms? number
---@field failed? boolean

--- In counts and ms.
---@class titan.MetricsSummary
---@field calls integer
---@field errors integer
---@field in_flight integer
--- Unless monitoring.metrics is false.
---@field latency? { p50: number, p99: number }

--- Of calls that ended, in ms from the request's arrival in the worker to its answer.
---@class titan.Latency
---@field count integer
---@field mean number
---@field p50 number
---@field p75 number
---@field p90 number
---@field p95 number
---@field p99 number
---@field max number

--- What the calls of a method, or of a process, have come to.
---@class titan.MethodMetrics
--- Begun, those in flight and those refused among them.
---@field calls integer
--- Of those ended.
---@field errors integer
--- Begun and not ended.
---@field in_flight integer
--- Unless monitoring.metrics is false.
---@field latency? titan.Latency

--- What a process has done, in its present life, and what it uses.
---@class titan.Metrics: titan.MethodMetrics
--- Percent of one processor, as a mean over its life; while there is a process.
---@field cpu? { user_ms: number, system_ms: number, percent: number }
--- Bytes; rss and pss while there is a process.
---@field memory { rss: integer?, pss: integer?, lua_heap: integer }
---@field restarts integer
--- Ms.
---@field uptime number
--- Of those called so far; under "(others)" those after the 64th, and calls of what is no method.
---@field methods table<string, titan.MethodMetrics>
--- What the annotation metric counts and measures, by name and labels.
---@field series titan.Series[]
--- By name, over all labels.
---@field counters table<string, integer>
--- By name, over all labels.
---@field histograms table<string, titan.Latency>

--- What the annotation metric keeps for one set of labels.
---@class titan.Series
---@field name string
---@field kind "counter"|"histogram"
--- { overflow = "true" } for what has no series of its own.
---@field labels table<string, string>
--- Name and labels as text: `images.resized{format="png"}`.
---@field key string
--- Of a counter.
---@field value? integer
--- Of a histogram.
---@field latency? titan.Latency

--- Spans that were recorded.
---@class titan.TracingCounters
--- The collector has taken them.
---@field exported integer
--- They were lost: it did not take them, or there was no room for them.
---@field dropped integer
--- They wait or are being posted.
---@field queued integer
--- Why spans were dropped, or had to be posted again.
---@field last_error? string

--- How one process is.
---@class titan.Health
---@field id string
---@field status "unknown"|"healthy"|"degraded"|"unhealthy"
--- Checks that failed, one after the other.
---@field failures integer
--- The last check was not answered, since it was working.
---@field busy boolean
--- When the last check ended, ms of the wall clock.
---@field last_check? integer
--- When it became what it is, ms of the wall clock.
---@field since? integer
--- Ms, of the last check that was answered.
---@field latency? number
--- Why it is not healthy.
---@field reason? string
--- What a health_check method answered.
---@field details? table

--- What a method with `health_check` may answer, and whatever else its users want to see.
---@class titan.health.Answer
---@field status "healthy"|"degraded"|"unhealthy"
---@field reason? string
---@field [string] any

--- What `pm:health` answers.
---@class titan.manager.Health
---@field status "healthy"|"degraded"|"unhealthy"
--- By the name of the process.
---@field checks table<string, titan.Health>
--- Ms of the wall clock.
---@field timestamp integer
