--- The mock spawner: stands in for what spawns processes. What it spawns lives in this process, is
--- called as a worker would be, and does what the test says.
--
--     local spawner = titan.testing.mock_spawner()
--     local module = titan.for_root({}, { [titan.tokens.SPAWNER] = spawner })
--     local pm = module:get(titan.tokens.MANAGER)
--     spawner:on("image-worker", "resize"):returns("small.png"):times(1)
--
-- What is as with processes: names, ids, dependencies, public and private methods, `init`,
-- on_shutdown, annotations and the stores behind them, what can travel and what not (tables arrive
-- as copies), the errors and their texts, deadlines and what else goes along with a call, streams,
-- restarts, events. What is not: there is no pid, no environment or directory of its own, no
-- memory of its own (a module that a class requires is one for all), and a method that does not
-- wait is not interrupted by anything. A stream's items are made when they are asked for, none
-- ahead. The wait before a restart has no jitter, spans go nowhere, and a run does not go on for
-- a pool's sake.

local asks = require "titan.testing.spawner_asks"
local config = require "titan.config"
local core = require "titan.core"
local errors = require "titan.errors"
local events = require "titan.events"
local locate = require "titan.locate"
local names = require "titan.names"
local pools = require "titan.testing.pool"
local processes = require "titan.testing.process"
local proxy = require "titan.proxy"
local schema = require "titan.schema"
local scripts = require "titan.testing.script"
local shared = require "titan.config.shared"
local shared_stores = require "titan.store.shared"
local tasks = require "titan.tasks"
local text = require "titan.text"

local spawner = {}

local FRAME_MAX <const>, NESTING_MAX <const> = 64 << 20, 64 -- of what starts a worker
local REMEMBERED <const> = 256 -- processes that have ended

---@class titan.RecordedCall
---@field process string
---@field method string
---@field args table with n, as they arrived
---@field results? table with n, once it has returned
---@field error? titan.Error once it has failed
---@field items? table[] of a stream: each with n, those that its caller has taken

---@class titan.MockSpawner: titan.Spawner
---@field calls titan.RecordedCall[] that reached a process, in the order in which they did
---@field config titan.Config of the manager
---@field events titan.Events of the manager
---@field stores titan.SharedStores
---@field package alive titan.MockProcess[] in the order of their starts
---@field package gone titan.MockProcess[] those that ended
---@field package pools table<string, titan.MockPool>
---@field package script titan.Script
---@field package number integer of the last process
---@field package services table<string, table> proxies by name
---@field package manager? titan.Manager
---@field package stopping integer
local Spawner = {}
Spawner.__index = Spawner
Spawner.__name = "titan.MockSpawner"

for name, fn in pairs(asks) do
  Spawner[name] = fn
end

--- Called by the manager that is made with it.
---@param manager titan.Manager
function Spawner:attach(manager)
  if self.manager then
    errors.raise("invalid_config", "this mock spawner belongs to another manager already; make one "
      .. "for each")
  end
  self.manager, self.config, self.events = manager, manager.config, manager.events
  self.stores = shared_stores.new(self.config.store)
end

-- Names ------------------------------------------------------------------------------------

---@param key any
---@return titan.MockProcess? that lives
function Spawner:_find(key)
  if type(key) ~= "string" then
    errors.raise("invalid_config", "expected the id or the name of a process, given "
      .. text.given(key))
  end
  for _, process in ipairs(self.alive) do
    if process.name == key or process.id == key then
      return process
    end
  end
  return nil
end

---@param key string
---@return titan.Error
function Spawner:_unknown(key)
  local known = {}
  for i, process in ipairs(self.alive) do
    known[i] = process.name
  end
  local nearest = core.suggest(key, known)
  return errors.new("destroyed", string.format("no process with the id or name %q is alive%s", key,
    nearest and string.format("; did you mean %q?", nearest) or ""))
end

---@param name string
---@param except? titan.MockProcess
---@return boolean
function Spawner:_is_free(name, except)
  local taken = self:_find(name)
  return not self.pools[name] and (not taken or taken == except)
end

---@param name string one that nobody chose
---@param except? titan.MockProcess
---@return string
function Spawner:_free_name(name, except)
  return names.free(name, function(candidate)
    return self:_is_free(candidate, except)
  end)
end

---@param name string
---@param where string
function Spawner:_claim(name, where)
  if self.pools[name] then
    errors.raise("invalid_config", string.format("%s: %q is the name of a pool already", where,
      name))
  end
  local taken = self:_find(name)
  if taken then
    errors.raise("invalid_config", string.format("%s: %q is the name of %s already (%s)", where,
      name, taken.id, taken.status))
  end
end

-- Services ---------------------------------------------------------------------------------

--- What titan.service(name) is inside a mock process.
---@param name string
---@return table
function Spawner:_service(name)
  if type(name) ~= "string" or name == "" then
    errors.raise("invalid_config", "titan.service: expected the name of a service, given "
      .. text.given(name))
  end
  self.services[name] = self.services[name] or proxy.new {
    name = name, own = {}, timeout = self.config.resources.timeout or 0,
    text = function()
      return "titan service " .. name
    end,
    method = function(owner, method, timeout, how)
      return function(given, ...)
        proxy.check_self(given, owner, method)
        local target = self.pools[name] or self:_find(name)
        if not target then
          errors.raise("worker_lost", string.format("no service named %q is running", name),
            { process = name, method = method })
        end
        return target:call_by_name(method, timeout, how, ...)
      end
    end,
  }
  return self.services[name]
end

---@param started titan.Future
---@param target titan.MockProcess|titan.MockPool
---@param waiter titan.MockProcess?
local function await_start(started, target, waiter)
  local at = waiter and target
  while at do
    if at == waiter then
      errors.raise("spawn_failed", "which waits for it to start")
    end
    at = at.awaits
  end
  if waiter then
    waiter.awaits = target
  end
  started:await()
  if waiter then
    waiter.awaits = nil
  end
end

---@param name string who depends on them
---@param dependencies titan.Dependency[]
---@param waiter? titan.MockProcess
function Spawner:_await_dependencies(name, dependencies, waiter)
  for _, dependency in ipairs(dependencies) do
    local target = self.pools[dependency.service] or self:_find(dependency.service)
    local ok, err = false, self:_unknown(dependency.service)
    if target then
      ok, err = pcall(await_start, target.started, target, waiter)
    end
    if errors.is(err) and err.code == "cancelled" then
      error(err, 0)
    elseif not ok then
      errors.raise("spawn_failed", string.format("worker %q did not start: it depends on %q: %s",
        name, dependency.service, errors.is(err) and err.message or tasks.text_of(err)))
    end
  end
end

-- Spawning ---------------------------------------------------------------------------------

-- Of a spec, only the options for init may hold what cannot travel.
---@param options table
---@return fun(): any options a copy for each life
local function packed(options)
  local function copy(given)
    return core.passed("options", FRAME_MAX, NESTING_MAX, given)
  end
  local ok, kept = pcall(copy, options)
  if ok then
    return function()
      return copy(kept)
    end
  end
  error(errors.new("invalid_config", (kept.message:gsub("^options 1", "options"))), 0)
end

--- A process that begins to start.
---@param target titan.Target
---@param options titan.SpawnOptions
---@param pool? titan.MockPool
---@return titan.MockProcess
function Spawner:_launch(target, options, pool)
  local copy_options = packed(options.options)
  self.number = self.number + 1
  local process = processes.new(self, target, options, {
    id = "w" .. self.number, copy_options = copy_options, pool = pool,
    name = options.name or self:_free_name(target.class and target.class.name or target.name),
  })
  table.insert(self.alive, process)
  process:_begin()
  return process
end

function Spawner:_check_open()
  if self.stopping > 0 then
    errors.raise("shutting_down", "the manager is stopping all its processes")
  end
end

--- As `pm:spawn`.
---@param given string|titan.Class
---@param options? table
---@return table proxy
function Spawner:spawn(given, options)
  core.current()
  local target = locate.find(given)
  if target.class and type(options) == "string" then
    options = nil
  end
  local checked = config.spawn_options(options, target.class)
  checked.startup_given = options ~= nil and options.startup_timeout ~= nil
  self:_await_dependencies(checked.name or target.name, checked.dependencies)
  if checked.name then
    self:_claim(checked.name, "options.name")
  end
  self:_check_open()
  local process = self:_launch(target, checked)
  local ok, why = pcall(process.started.await, process.started)
  if not ok then
    process:_end "stopped"
    error(why, 0)
  end
  return process.proxy
end

--- As `pm:create_pool`.
---@param given string|titan.Class
---@param options? table
---@return table pool
function Spawner:create_pool(given, options)
  core.current()
  local target = locate.find(given)
  if target.class and type(options) == "string" then
    options = nil
  end
  self:_check_open()
  return pools.create(self, target, options)
end

--- Supervisors start and stop processes by the core's own rules.
function Spawner.create_supervisor()
  errors.raise("invalid_config", "the mock spawner has no supervisors; test a tree with real "
    .. "processes, and its workers one by one with the mock")
end

-- Called at the end of a process.
---@param process titan.MockProcess
function Spawner:_forget(process)
  for i, at in ipairs(self.alive) do
    if at == process then
      table.remove(self.alive, i)
      table.insert(self.gone, process)
    end
  end
  if #self.gone > REMEMBERED then
    table.remove(self.gone, 1)
  end
  if process.pool then
    process.pool:_worker_ended(process)
  end
end

-- Saying what happens ----------------------------------------------------------------------

---@param process titan.MockProcess
---@param method string
---@return function?
function Spawner:_scripted(process, method)
  return self.script:take(process.name, method)
    or process.pool and self.script:take(process.pool.name, method)
end

--- Whether there is an answer for the next call, without using it up.
---@param name string of a process or a pool
---@param method string
---@return boolean
function Spawner:_is_scripted(name, method)
  return self.script:has(name, method)
end

---@param process titan.MockProcess
---@param method string
---@param args table
---@return titan.RecordedCall
function Spawner:_record(process, method, args)
  local record = { process = process.name, method = method, args = args }
  self.calls[#self.calls + 1] = record
  return record
end

-- An answer for a method that there is not would never be given.
---@param process titan.MockProcess
---@param method string
local function check_method(process, method)
  if not process.class.methods[method] then
    local nearest = core.suggest(method, process.class.method_names)
    errors.raise("invalid_config", string.format("on(%q, %q): %s has no such method; %s",
      process.name, method, tostring(process.class), nearest and string.format("did you mean %q?",
      nearest) or "it has " .. text.enumerated(process.class.method_names, "and")))
  end
end

-- Those that were written down before it was there.
---@param process titan.MockProcess
function Spawner:_check_script(process)
  for _, name in ipairs { process.name, process.pool and process.pool.name or nil } do
    for _, method in ipairs(self.script:methods_of(name)) do
      check_method(process, method)
    end
  end
end

--- An answer to the calls of a method, to be said with `returns`, `raises` or `calls`, and perhaps
--- `times` and `after`. The process need not run yet.
---@param name string of a process, or of a pool for all its workers
---@param method string
---@return titan.Answer
function Spawner:on(name, method)
  local name_schema = shared.name_schema "of a process"
  name_schema.required = true
  name = schema.check(name_schema, name, "on.process")
  method = schema.check({ kind = "string", min = 1, required = true }, method, "on.method")
  local process = self:_find(name) or self.pools[name] and self.pools[name]:any_worker()
  if process and process.class then
    check_method(process, method)
  end
  return self.script:on(name, method)
end

--- Lets a process be lost: calls that are under way, and those that come before it is started
--- again, raise `worker_lost`. Its restart policy says when that is, on this process's clock.
---@param name string its name or id
---@param how? string "was killed by SIGKILL" unless told
function Spawner:crash(name, how)
  local process = self:_find(name)
  if not process then
    error(self:_unknown(name), 0)
  elseif process.status == "crashed" then
    errors.raise("invalid_config", string.format("%q has crashed already", name))
  end
  process:crash(schema.check({ kind = "string", min = 1 }, how, "crash.how"))
end

--- Forgets the recorded calls and the answers.
function Spawner:reset()
  self.calls, self.script = {}, scripts.new()
end

--- The end of everything, at once.
function Spawner:close()
  for _, pool in ipairs(self:_all_pools()) do
    pool:_give_up(errors.new("destroyed", "the manager was closed", { process = pool.name }))
  end
  while #self.alive > 0 do
    self.alive[#self.alive]:_abandon()
  end
  self.stores:close()
end

---@param options? table none yet
---@return titan.MockSpawner
function spawner.new(options)
  schema.check({ kind = "table", fields = {} }, options, "mock_spawner")
  local default = config.check {}
  return setmetatable({
    calls = {}, config = default, stores = shared_stores.new(default.store),
    events = events.new(), alive = {}, gone = {},
    pools = {}, script = scripts.new(), number = 0, services = {}, stopping = 0,
  }, Spawner)
end

return spawner
