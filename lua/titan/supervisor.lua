--- Supervisors: children that are started in order, kept alive, and stopped in reverse.
--
-- The C core decides and acts (core/manager/supervisor.h); here processes get their Lua side, and
-- what happens becomes futures, events and a story that people can read.

local config = require "titan.config"
local core = require "titan.core"
local crash = require "titan.crash"
local declarations = require "titan.config.supervisor"
local errors = require "titan.errors"
local heard = require "titan.supervisor.heard"
local restarts = require "titan.config.restarts"
local schema = require "titan.schema"
local tasks = require "titan.tasks"

local supervisor = {}

---@class titan.Supervisor
---@field name string
---@field strategy string
---@field package manager titan.Manager
---@field package parent? titan.Supervisor
---@field package handle userdata
---@field package declaration titan.SupervisorDeclaration
---@field package children table<string, titan.SupervisedChild>
---@field package starting? titan.Future while a start is under way
---@field package stopped? titan.Future while it is not stopped
---@field package history string[] the last crashes, for the story of a failure
---@field package added integer names given to children of a simple_one_for_one
local Supervisor = {}
Supervisor.__index = Supervisor
Supervisor.__name = "titan.Supervisor"

---@class titan.SupervisedChild
---@field declaration titan.ChildDeclaration
---@field service? titan.Service of a process, its latest
---@field supervisor? titan.Supervisor
---@field pool? titan.Pool
---@field error? any why it could not be started
---@field announcing? titan.Future while it is told that it did not start
---@field waiting? { future: titan.Future, settle: fun(ok: boolean, ...) } for its start
---@field removal? titan.Future
---@field finish_removal? fun(ok: boolean)

function Supervisor:__tostring()
  return string.format("titan supervisor %s (%s)", self.name, self:status())
end

-- Creation -------------------------------------------------------------------------------

---@param self titan.Supervisor
---@param declaration titan.ChildDeclaration
local function add(self, declaration)
  local child = { declaration = declaration }
  local manager, inner = self.manager, nil
  if declaration.kind == "supervisor" then
    child.supervisor = supervisor.new(manager, declaration.declaration, declaration.name, self)
    inner = child.supervisor.handle
  elseif declaration.kind == "process" then
    child.options = config.spawn_options(declaration.options, declaration.target.class)
    child.options.name = declaration.name
  end
  self.children[declaration.name] = child
  local class = declaration.target and declaration.target.class
  local timeout = declaration.shutdown_timeout or child.options and child.options.shutdown_timeout
    or manager.config.advanced.graceful_shutdown_timeout
  core.supervisor_add(self.handle, inner and "supervisor" or declaration.kind, {
    name = declaration.name, restart = declaration.restart, critical = declaration.critical,
    optional = declaration.optional, shutdown_timeout = timeout,
    policy = restarts.merged(manager.config.restart_policy, class and class.restart_policy,
      self.declaration.policy, declaration.policy,
      child.options and child.options.restart_policy),
  }, inner)
end

--- Makes a supervisor, stopped.
---@param manager titan.Manager
---@param declaration titan.SupervisorDeclaration
---@param name string
---@param parent? titan.Supervisor
---@return titan.Supervisor
function supervisor.new(manager, declaration, name, parent)
  local self = setmetatable({
    name = name, strategy = declaration.strategy, manager = manager, parent = parent,
    declaration = declaration, children = {}, history = {}, added = 0,
  }, Supervisor)
  self.handle = core.supervisor_new(manager.handle, declaration.strategy,
    declaration.on_child_crash ~= nil, function(kind, child, number, message)
      return heard[kind](self, child, number, message)
    end)
  manager.supervisors[self] = true
  if declaration.strategy ~= "simple_one_for_one" then
    for _, child in ipairs(declaration.children) do
      add(self, child)
    end
  end
  return self
end

-- Start and stop ---------------------------------------------------------------------------

--- Stopped, starting, running or stopping.
---@return string
function Supervisor:status()
  return core.supervisor_state(self.handle)
end

--- Starts the children, left to right, each when the one before it is ready. Waits for all;
--- callers at the same time wait for the same start. Raises why a critical child did not start,
--- when everything has been taken down again; `shutting_down` when it was stopped meanwhile.
---@return titan.Supervisor self
function Supervisor:start()
  core.current()
  while self:status() == "stopping" do
    self.stopped:await()
  end
  if self.manager.closed then
    errors.raise("destroyed", "the manager was closed", { process = self.name })
  elseif self.manager.stopping > 0 then
    errors.raise("shutting_down", "the manager is stopping all its processes")
  end
  if self:status() == "stopped" then
    core.supervisor_start(self.handle)
  end
  self.starting:await()
  return self
end

--- Stops the children, right to left, and waits for the last. Whatever it was about to do about a
--- crash is given up. A stopped supervisor can be started again.
---@return boolean true
function Supervisor:stop()
  core.current()
  if self:status() ~= "stopped" then
    core.supervisor_stop(self.handle)
    self.stopped:await()
  end
  return true
end

-- Children ---------------------------------------------------------------------------------

---@param self titan.Supervisor
---@param name any
---@param what string
---@return titan.SupervisedChild
local function find(self, name, what)
  local child = type(name) == "string" and self.children[name]
  if not child then
    local names = {}
    for known in pairs(self.children) do
      names[#names + 1] = known
    end
    local nearest = type(name) == "string" and core.suggest(name, names)
    schema.refuse(what, string.format("supervisor %q has no child %s%s", self.name,
      type(name) == "string" and string.format("%q", name) or "of such a name",
      nearest and string.format("; did you mean %q?", nearest) or ""), name, "the name of a child")
  end
  return child
end

-- Somebody waits until the child is up, or will not be.
---@param child titan.SupervisedChild
---@return titan.Future
local function await_child(child)
  if not child.waiting then
    local future, settle = tasks.promise()
    child.waiting = { future = future:ignore(), settle = settle }
  end
  return child.waiting.future
end

--- What a child is to its user: the proxy of a process, a supervisor, a pool. Nil when it is not
--- up.
---@param name string
---@return any
function Supervisor:child(name)
  local child = find(self, name, "child.name")
  local service = child.service
  return child.supervisor or child.pool or service and service.proxy
end

-- Of a simple_one_for_one: the template, with options of its own.
---@param self titan.Supervisor
---@param options table?
---@return titan.ChildDeclaration
local function from_template(self, options)
  local template = self.declaration.children[1]
  local copy = {}
  for key, value in pairs(template) do
    copy[key] = value
  end
  local given = {}
  for key, value in pairs(template.options or {}) do
    given[key] = value
  end
  for key, value in pairs(options or {}) do
    given[key] = value
  end
  copy.options = given
  copy.name, given.name = given.name, nil
  while not copy.name do
    self.added = self.added + 1
    local name = template.name .. "-" .. self.added
    copy.name = not self.children[name] and name or nil
  end
  return copy
end

--- Adds a child at the right end; on a running supervisor it is started and waited for. To a
--- simple_one_for_one: options over those of the template (`name`, `options`, ...).
--- Raises `invalid_config`, or what the start failed with (the child stays, failed).
---@param spec? table
---@return any child as `child(name)` gives it
function Supervisor:add_child(spec)
  core.current()
  local declaration
  if self.strategy == "simple_one_for_one" then
    declaration = from_template(self, schema.check({ kind = "any", type = "table" }, spec,
      "add_child"))
  else
    declaration = declarations.check_child("add_child", spec)
  end
  if self.children[declaration.name] then
    schema.refuse("add_child.name", string.format("%q is a child of %q already", declaration.name,
      self.name), declaration.name, "a name that no other child has")
  end
  add(self, declaration)
  local status = self:status()
  if status == "running" or status == "starting" then
    await_child(self.children[declaration.name]):await()
  end
  return self:child(declaration.name)
end

--- Stops a child and forgets it. Waits for its end; callers at the same time wait for the same.
---@param name string
---@return boolean true
function Supervisor:remove_child(name)
  core.current()
  local child = find(self, name, "remove_child.name")
  if not child.removal then
    child.removal, child.finish_removal = tasks.promise()
    child.removal:ignore()
    core.supervisor_remove(self.handle, name)
  end
  child.removal:await()
  return true
end

--- Stops a child if it is up, then starts it, with an empty history of restarts. Waits until it is
--- up; raises what the start failed with.
---@param name string
---@return any child as `child(name)` gives it
function Supervisor:restart_child(name)
  core.current()
  local child = find(self, name, "restart_child.name")
  if child.removal then
    schema.refuse("restart_child.name", string.format("child %q of supervisor %q is being removed",
      name, self.name), name, "the name of a child")
  end
  local status = self:status()
  if status ~= "running" and status ~= "starting" then
    errors.raise("shutting_down", string.format("supervisor %q is %s: start it first", self.name,
      status))
  end
  core.supervisor_restart(self.handle, name)
  await_child(child):await()
  return self:child(name)
end

--- Its children, left to right: name, kind, status (stopped, starting, running, stopping, crashed:
--- about to be started again, failed: given up), restart, critical, optional, restarts (since it
--- was added), last_error (text), and of a running process its id and pid.
---@return table[]
function Supervisor:which_children()
  local list = core.supervisor_children(self.handle)
  for _, entry in ipairs(list) do
    local child = self.children[entry.name]
    local declaration = child.declaration
    entry.kind, entry.restart = declaration.kind, declaration.restart
    entry.critical, entry.optional = declaration.critical, declaration.optional
    local info = child.service and core.process_info(child.service.process)
    if info and entry.status == "running" then
      entry.id, entry.pid = info.id, info.pid
    end
  end
  return list
end

--- How many: specs (all of them), active (running), and of those the kinds: workers, pools,
--- supervisors.
---@return { specs: integer, active: integer, workers: integer, pools: integer,
--- supervisors: integer }
function Supervisor:count_children()
  local kinds = { process = "workers", pool = "pools", supervisor = "supervisors" }
  local count = { specs = 0, active = 0, workers = 0, pools = 0, supervisors = 0 }
  for _, entry in ipairs(core.supervisor_children(self.handle)) do
    local kind = kinds[self.children[entry.name].declaration.kind]
    count.specs = count.specs + 1
    if entry.status == "running" then
      count.active = count.active + 1
      count[kind] = count[kind] + 1
    end
  end
  return count
end

--- Lets go of everything at once: the manager is being closed.
function Supervisor:_close()
  core.supervisor_close(self.handle)
  heard.closed(self)
end

-- For titan.supervisor.heard ---------------------------------------------------------------

--- Asks on_child_crash; what it says is told to the core, unless it comes too late.
---@param name string
function Supervisor:_ask(name)
  local child = self.children[name]
  local info = child.service and core.process_info(child.service.process)
  local entry
  for _, known in ipairs(self:which_children()) do
    entry = known.name == name and known or entry
  end
  local report = info and crash.report(info, errors.new("worker_lost", entry.last_error,
    { process = name })) or { name = name, reason = entry.last_error }
  tasks.go(function()
    core.park(0) -- not at once: it is asked in the middle of the crash
    local ok, said = pcall(self.declaration.on_child_crash, report, entry)
    local decision = ok and (said == nil and "restart" or said) or "restart"
    local known = { restart = true, ignore = true, escalate = true, shutdown = true }
    if not ok or not known[decision] then
      local why = ok and "returned " .. tasks.text_of(said) .. "; it returns restart, ignore, "
        .. "escalate or shutdown" or "failed: " .. tasks.text_of(said)
      io.stderr:write(string.format("titan: on_child_crash of supervisor %q %s; taken as restart\n",
        self.name, why))
      decision = "restart"
    end
    core.supervisor_decide(self.handle, name, decision, "on_child_crash said escalate")
  end)
end

return supervisor
