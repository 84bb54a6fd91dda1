---@meta _

--- A supervisor that was declared, and so checked: what titan.supervisor returned.
---@class titan.SupervisorDeclaration

--- What titan.supervisor takes.
---@class titan.supervisor.Declaration
--- For messages and events; "supervisor" unless told.
---@field name? string
--- Who is started again when a child has crashed. (default: "one_for_one")
---@field strategy? titan.supervisor.Strategy
--- So many restarts of a child inside the window; one more, and it is given up. This and the next
--- three go over the `restart_policy` of the manager and of the class.
---@field max_restarts? integer
--- For so long a restart counts.
---@field window? titan.Duration
--- Before the first restart of a window.
---@field delay? titan.Duration
--- How the waits after that grow.
---@field backoff? titan.restart.Backoff
--- From left to right. Of a simple_one_for_one the one template.
---@field children? titan.supervisor.Child[]
--- Instead, or besides: methods with the annotation `child`. Each returns what is to be supervised.
---@field methods? table<string, titan.supervisor.Method>
--- Called at each crash, with the report (of a process) and the child's entry of `which_children`;
--- may wait. Nothing is "restart".
---@field on_child_crash? titan.supervisor.OnChildCrash

---@alias titan.supervisor.Strategy
---| "one_for_one"        # the child that crashed
---| "one_for_all"        # all of them
---| "rest_for_one"       # it and those right of it
---| "simple_one_for_one" # it; the one child is a template for those that add_child starts

---@alias titan.supervisor.OnChildCrash
---| fun(report: titan.CrashReport, child: titan.supervisor.Entry): titan.supervisor.Decision?

---@alias titan.supervisor.Decision
---| "restart"  # it is started again
---| "ignore"   # it stays down
---| "escalate" # the supervisor gives up
---| "shutdown" # the supervisor stops in order

--- When a child is started again.
---@alias titan.supervisor.Restart
---| "permanent" # after every end
---| "transient" # after a crash
---| "temporary" # never

--- What is said of a child beside what it is.
---@class titan.supervisor.ChildOptions
--- Of `pm:spawn`, without a name, or of `pm:create_pool`.
---@field options? titan.spawn.Options|titan.pool.Options
--- When it is started again. (default: "permanent")
---@field restart? titan.supervisor.Restart
--- Giving it up, or its failing start, gives the supervisor up. (default: false)
---@field critical? boolean
--- Nobody waits for its start, and no group restart includes it. (default: false)
---@field optional? boolean
--- From asking it to stop to killing it; `graceful_shutdown_timeout` unless told, 0 kills at once.
---@field shutdown_timeout? titan.Duration
--- Instead of the supervisor's, as are the next three.
---@field max_restarts? integer
--- For so long a restart counts.
---@field window? titan.Duration
--- Before the first restart of a window.
---@field delay? titan.Duration
--- How the waits after that grow.
---@field backoff? titan.restart.Backoff

--- A child: one of process, pool and supervisor.
---@class titan.supervisor.Child: titan.supervisor.ChildOptions
--- Unique among its siblings, and what a process or a pool is found by; the class's unless told.
---@field name? string
--- A process of this class.
---@field process? titan.ClassGiven
--- A pool of this class.
---@field pool? titan.ClassGiven
--- A supervisor below this one.
---@field supervisor? titan.SupervisorDeclaration|titan.supervisor.Declaration

--- The annotation `child` of a method.
---@class titan.supervisor.ChildAnnotation: titan.supervisor.ChildOptions
--- Children are started from the least upwards, then by name. (default: 0)
---@field order? number

--- A method of a supervisor's declaration.
---@class titan.supervisor.Method
--- Called once, when the supervisor is declared: returns what is to be supervised.
---@field [1] fun(self: table): titan.ClassGiven|titan.SupervisorDeclaration
--- The rest of what is said of the child, which has the name of the method.
---@field child? titan.supervisor.ChildAnnotation

--- Starts its children in order, keeps them alive, and stops them in reverse.
---@class titan.Supervisor
---@field name string
---@field strategy titan.supervisor.Strategy
local Supervisor = {}

--- How it is.
---@return "stopped"|"starting"|"running"|"stopping"
function Supervisor:status() end

--- Starts the children, left to right, each when the one before it is ready, and waits for all.
--- Concurrent calls join one start; during a stop it waits for that first.
---
--- Raises why a critical child did not start, when everything has been taken down again;
--- `shutting_down` when it was stopped meanwhile; `destroyed` when the manager was closed.
---@return titan.Supervisor self
function Supervisor:start() end

--- Stops the children, right to left, and waits for the last. It can be started again.
---@return true
function Supervisor:stop() end

--- The proxy of a process, the pool or the supervisor of that name; nil when it is not up.
---
--- Raises `invalid_config` when there is no such child.
---@param name string
---@return titan.Proxy|titan.PoolProxy|titan.Supervisor|nil
function Supervisor:child(name) end

--- Adds a child at the right end; on a running supervisor it is started and waited for. To a
--- simple_one_for_one: options of the spawn, over those of the template.
---
--- Raises `invalid_config`, or what the start failed with (the child stays, failed).
---@param spec? titan.supervisor.Child|titan.spawn.Options|titan.pool.Options
---@return titan.Proxy|titan.PoolProxy|titan.Supervisor|nil
function Supervisor:add_child(spec) end

--- Stops a child and forgets it. Waits for its end.
---
--- Raises `invalid_config` when there is no such child.
---@param name string
---@return true
function Supervisor:remove_child(name) end

--- Stops a child if it is up, then starts it, with an empty history of restarts, and waits for it.
---
--- Raises what the start failed with; `shutting_down` when the supervisor does not run;
--- `invalid_config` when there is no such child.
---@param name string
---@return titan.Proxy|titan.PoolProxy|titan.Supervisor|nil
function Supervisor:restart_child(name) end

--- Its children, left to right.
---@return titan.supervisor.Entry[]
function Supervisor:which_children() end

--- How many children there are.
---@return titan.supervisor.Count
function Supervisor:count_children() end

--- A child, as `which_children` tells it.
---@class titan.supervisor.Entry
---@field name string
---@field kind "process"|"pool"|"supervisor"
--- crashed: about to be started again; failed: given up.
---@field status "stopped"|"starting"|"running"|"stopping"|"crashed"|"failed"
---@field restart titan.supervisor.Restart
---@field critical boolean
---@field optional boolean
--- Since it was added.
---@field restarts integer
---@field last_error? string
--- Of a process that runs.
---@field id? string
--- Of a process that runs.
---@field pid? integer

--- What `count_children` counts.
---@class titan.supervisor.Count
--- All of them.
---@field specs integer
--- Those that run, and of these:
---@field active integer
---@field workers integer
---@field pools integer
---@field supervisors integer
