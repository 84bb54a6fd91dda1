---@meta _

--- What tests of a program written with Titan need.
---@class titan.testing
local testing = {}

--- Stands in for what spawns processes: `titan.for_root({}, { [titan.tokens.SPAWNER] = spawner })`.
--- What it spawns lives in this process, is called as a worker would be, and does what the test
--- says.
---@param options? {} none yet
---@return titan.MockSpawner
function testing.mock_spawner(options) end

--- Holds the clock of this process: no time passes but by its methods, until it is closed.
--- `local clock <close> = titan.testing.virtual_clock()`.
---
--- Raises `invalid_config` when there is one already.
---@return titan.VirtualClock
function testing.virtual_clock() end

--- A call that reached a mock process.
---@class titan.RecordedCall
---@field process string
---@field method string
--- As they arrived.
---@field args { n: integer }
--- Once it has returned.
---@field results? { n: integer }
--- Once it has failed.
---@field error? titan.Error

--- Spawns workers without processes.
---@class titan.MockSpawner
--- Those that reached a process, in the order in which they did.
---@field calls titan.RecordedCall[]
--- Of the manager.
---@field config titan.Config
local MockSpawner = {}

--- An answer to the calls of a method, instead of what the method does. The process need not run
--- yet. Answers with `times` come first, in their order; of the others the newest counts.
---
--- Raises `invalid_config` when the class has no such method.
---@param name string of a process, or of a pool for all its workers
---@param method string
---@return titan.Answer
function MockSpawner:on(name, method) end

--- Lets a process be lost: calls under way, and those that come before it is started again by its
--- restart policy, raise `worker_lost`.
---
--- Raises `destroyed` when there is no such process, `invalid_config` when it has crashed already.
---@param name string its name or id
---@param how? string "was killed by SIGKILL" unless told
function MockSpawner:crash(name, how) end

--- Forgets the recorded calls and the answers.
function MockSpawner:reset() end

--- Called by the manager that is made with it; raises `invalid_config` when it has another.
---@param manager titan.Manager
function MockSpawner:attach(manager) end

--- The end of everything, at once.
function MockSpawner:close() end

--- As `pm:spawn`.
---@param class titan.ClassGiven
---@param options? titan.spawn.Options
---@return titan.Proxy
function MockSpawner:spawn(class, options) end

--- As `pm:create_pool`.
---@param class titan.ClassGiven
---@param options? titan.pool.Options
---@return titan.PoolProxy
function MockSpawner:create_pool(class, options) end

--- As `pm:discover`.
---@param name string
---@return titan.Proxy|titan.PoolProxy|nil
function MockSpawner:discover(name) end

--- As `pm:get_process_info`.
---@param key string its id or name
---@return titan.ProcessInfo?
function MockSpawner:get_process_info(key) end

--- As `pm:get_all_processes`.
---@return titan.ProcessInfo[]
function MockSpawner:get_all_processes() end

--- As `pm:get_metrics`.
---@param key? string its id or name
---@return titan.Metrics|table<string, titan.Metrics>|nil
function MockSpawner:get_metrics(key) end

--- As `pm:health`.
---@return titan.manager.Health
function MockSpawner:health() end

--- As `pm:stop_process`.
---@param key string its id or name
---@param timeout? titan.Duration
---@return true?
---@return titan.Error?
function MockSpawner:stop_process(key, timeout) end

--- As `pm:stop_all`.
---@param timeout? titan.Duration
---@return true?
---@return titan.Error?
function MockSpawner:stop_all(timeout) end

--- As `pm:kill`: what would end a process lets it be lost.
---@param key string its id or name
---@param signal? string|integer
---@return true?
---@return titan.Error?
function MockSpawner:kill(key, signal) end

--- What happens instead of a method: one of `returns`, `raises` and `calls`, and perhaps `times`
--- and `after`.
---@class titan.Answer
local Answer = {}

--- The call returns these.
---@param ... any
---@return titan.Answer self
function Answer:returns(...) end

--- The call raises this.
---@param code titan.ErrorCode
---@param message string
---@param fields? titan.ErrorFields
---@return titan.Answer self
function Answer:raises(code, message, fields) end

--- `fn` stands in for the method: it gets what the method would, the worker's self first.
---@param fn fun(self: titan.Self, ...): ...
---@return titan.Answer self
function Answer:calls(fn) end

--- Only for so many calls; after that the next answer, or the method itself.
---@param count integer
---@return titan.Answer self
function Answer:times(count) end

--- Not at once: after so long on the clock.
---@param duration titan.Duration
---@return titan.Answer self
function Answer:after(duration) end

--- A clock under the test's hand. Worker processes have clocks of their own.
---@class titan.VirtualClock
local VirtualClock = {}

--- The clock for durations: ms since nobody knows when.
---@return integer
function VirtualClock:now() end

--- The wall clock: ms since 1970.
---@return integer
function VirtualClock:wall() end

--- Sets the wall clock, forwards or back. No timer fires for that.
---@param ms integer since 1970
function VirtualClock:set_wall(ms) end

--- Lets so much time pass. What is due meanwhile fires in order, each at its own time.
---@param duration titan.Duration
function VirtualClock:advance(duration) end

--- Lets time pass until no task waits for it any more.
---@param max? titan.Duration so long at the most; one hour unless told
---@return boolean idle false: when the time was over, tasks still waited for a later one
---@return integer ms that passed
function VirtualClock:run_until_idle(max) end

--- Lets time go on by itself.
function VirtualClock:close() end
