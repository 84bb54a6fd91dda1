--- What the core tells of a supervisor, one function an event. Each gets the supervisor, the name
--- of the child if it is about one, a number and a message.

local core = require "titan.core"
local errors = require "titan.errors"
local pools = require "titan.supervisor.pools"
local tasks = require "titan.tasks"

local heard = {}

local STORY_LEN <const> = 12 -- crashes that a story tells

-- From stopped to starting: whoever asks from now on waits for these.
---@param self titan.Supervisor
function heard.starting(self)
  self.starting, self.finish_start = tasks.promise()
  self.stopped, self.finish_stop = tasks.promise()
  self.starting:ignore()
  self.stopped:ignore()
  self.failed_child = nil
  if not self.parent then
    self.manager.running[self] = self.stopped
  end
end

---@param self titan.Supervisor
---@param name string
---@param ok boolean
local function settle_child(self, name, ok, ...)
  local child = self.children[name]
  local waiting = child and child.waiting
  if waiting then
    child.waiting = nil
    waiting.settle(ok, ...)
  end
end

---@param self titan.Supervisor
---@param line string
local function note(self, line)
  local history = self.history
  history[#history + 1] = os.date("%H:%M:%S ") .. line
  if #history > STORY_LEN then
    table.remove(history, 1)
  end
end

-- Processes ------------------------------------------------------------------------------

---@param self titan.Supervisor
---@param name string
---@return userdata? process nil when it could not be made; child.error says why
function heard.spawn(self, name)
  local child = self.children[name]
  local ok, result = pcall(function()
    self.manager:_claim(name)
    return self.manager:_launch(child.declaration.target, child.options,
      { handle = self.handle, key = name })
  end)
  child.error = not ok and result or nil
  child.service = ok and result or nil
  return ok and result.process or nil
end

-- The error of a start that failed: Lua hears of the end of the process after this event, and
-- likewise of a supervisor below.
---@param child titan.SupervisedChild
---@param message string?
---@return titan.Error
local function start_error(child, message)
  if child.error then
    return child.error
  end
  local service, inner = child.service, child.supervisor
  local start = inner and inner.starting or service and not service.proxy and service.started
  if start then
    local ok, err = pcall(start.await, start)
    if not ok then
      return err
    end
  end
  return errors.new("spawn_failed", message or "it did not start",
    { process = child.declaration.name })
end

-- Pools ----------------------------------------------------------------------------------

function heard.start(self, name)
  pools.start(self, name)
end

function heard.stop(self, name, timeout)
  pools.stop(self, name, timeout)
end

-- Children ---------------------------------------------------------------------------------

function heard.child_up(self, name)
  note(self, name .. " is up")
  settle_child(self, name, true)
end

function heard.child_crashed(self, name, _, message)
  note(self, string.format("%s: %s", name, message or "it ended"))
end

function heard.child_asks(self, name, _, message)
  heard.child_crashed(self, name, nil, message)
  self:_ask(name)
end

function heard.child_stopped(self, name, comes_again)
  if comes_again == 1 then
    return
  end
  settle_child(self, name, false, errors.new("shutting_down",
    string.format("child %q was stopped", name), { process = name }))
end

function heard.child_start_failed(self, name, _, message)
  local child = self.children[name]
  note(self, string.format("%s did not start: %s", name, message or ""))
  self.failed_child = child.declaration.critical and child or self.failed_child
  child.announcing = tasks.go(function()
    local err = start_error(child, message)
    self.manager.events:emit("child:start-failed", { supervisor = self.name, name = name,
      critical = child.declaration.critical, error = err })
    settle_child(self, name, false, err)
  end)
end

function heard.child_failed(self, name, _, message)
  note(self, name .. " was given up")
  self.manager.events:emit("child:failed", { supervisor = self.name, name = name,
    critical = self.children[name].declaration.critical, reason = message })
  settle_child(self, name, false, errors.new("worker_lost",
    string.format("child %q was given up: %s", name, message or ""), { process = name }))
end

function heard.child_removed(self, name)
  local child = self.children[name]
  settle_child(self, name, false, errors.new("destroyed",
    string.format("child %q was removed", name), { process = name }))
  self.children[name] = nil
  tasks.go(function()
    pools.forget(child)
    if child.finish_removal then
      child.finish_removal(true)
    end
  end)
end

-- The supervisor ---------------------------------------------------------------------------

---@param self titan.Supervisor
---@param why? titan.Error
local function end_run(self, why)
  self.manager.running[self] = nil
  for name in pairs(self.children) do
    settle_child(self, name, false, why or errors.new("shutting_down",
      string.format("supervisor %q was stopped", self.name), { process = name }))
  end
end

function heard.started(self)
  self.finish_start(true)
end

-- The manager was closed: whoever waits for anything here hears of it.
---@param self titan.Supervisor
function heard.closed(self)
  local why = errors.new("destroyed", "the manager was closed", { process = self.name })
  end_run(self, why)
  for _, child in pairs(self.children) do
    if child.removal then
      child.finish_removal(true)
    end
  end
  if self.starting then
    self.finish_start(false, why)
    self.finish_stop(true)
  end
end

-- What happened, from the outside in, for people.
---@param self titan.Supervisor
---@param indent string
---@param lines string[]
local function tell(self, indent, lines)
  for _, line in ipairs(self.history) do
    lines[#lines + 1] = indent .. line
  end
  for _, entry in ipairs(core.supervisor_children(self.handle)) do
    local inner = self.children[entry.name].supervisor
    if inner and #inner.history > 0 then
      lines[#lines + 1] = string.format("%sin supervisor %s:", indent, inner.name)
      tell(inner, indent .. "  ", lines)
    end
  end
end

---@param self titan.Supervisor
---@param message string?
---@return titan.Error
local function failure(self, message)
  local lines = { string.format("supervisor %q gave up: %s", self.name, message or "") }
  tell(self, "", lines)
  return errors.new("worker_lost", table.concat(lines, "\n"), { process = self.name })
end

-- A critical child did not start or was given up meanwhile; or somebody stopped it.
function heard.start_failed(self, _, stopped_on_purpose, message)
  local child, stopped = self.failed_child, self.stopped
  local finish_start, finish_stop = self.finish_start, self.finish_stop
  tasks.go(function()
    local err
    if stopped_on_purpose == 1 then
      err = errors.new("shutting_down", message or "it was stopped", { process = self.name })
    elseif child then
      child.announcing:await() -- what happened below is told first
      err = start_error(child, message)
    else
      err = failure(self, message)
    end
    if self.stopped == stopped then -- else the next start has begun
      end_run(self)
    end
    finish_start(false, err)
    finish_stop(true)
  end)
end

function heard.stopped(self)
  end_run(self)
  self.finish_start(false, errors.new("shutting_down", "the supervisor was stopped"))
  self.finish_stop(true)
end

function heard.gave_up(self, _, _, message)
  local err = failure(self, message)
  local told = { name = self.name, reason = message, error = err,
    parent = self.parent and self.parent.name }
  end_run(self)
  self.finish_start(false, err)
  self.finish_stop(true)
  local is_heard = self.manager.events:heard "supervisor:failed"
  self.manager.events:emit("supervisor:failed", told)
  if not self.parent and not is_heard then
    self.manager:_fail(err)
  end
end

return heard
