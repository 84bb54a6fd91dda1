--- How a mock process is lost, comes again and ends. These are methods of titan.MockProcess.

local core = require "titan.core"
local crash = require "titan.crash"
local errors = require "titan.errors"
local restarts = require "titan.config.restarts"
local tasks = require "titan.tasks"

---@class titan.MockProcess
local Process = {}

local KILLED <const> = "was killed by SIGKILL"
local NOT_IN_TIME <const> =
  "did not end in time and was killed: a call or a shutdown hook went on"

local function ignore() end

-- Being lost -------------------------------------------------------------------------------

-- As core/manager/restart.c decides, but for the jitter: a test is to know when.
---@param self titan.MockProcess
---@return number? ms
local function decide_restart(self)
  local policy = restarts.merged(self.spawner.config.restart_policy,
    self.class and self.class.restart_policy, self.options.restart_policy)
  local now, kept = core.monotonic_ms(), {}
  for _, at in ipairs(self.restarted_at) do
    kept[#kept + 1] = now - at < policy.window and at or nil
  end
  self.restarted_at = kept
  if not policy.enabled or #kept >= policy.max_restarts then
    return nil, policy.enabled and string.format("; given up after %d restarts within %d ms "
      .. "(restart_policy)", policy.max_restarts, policy.window) or ""
  end
  local nth, backoff = #kept, policy.backoff
  kept[nth + 1] = now
  if nth == 0 then
    return policy.delay
  end
  local ms = backoff.initial
  if backoff.type == "exponential" then
    ms = ms * backoff.factor ^ (nth - 1)
  elseif backoff.type == "linear" then
    ms = ms * nth
  end
  return math.floor(math.min(ms, backoff.max))
end

---@param status "crashed"|"failed"
function Process:_crashed(status)
  local how = self.last_error.message
  local info = self:get_info()
  info.exit = how
  self.status, self.health = status, nil
  self:_lose_calls(how)
  local wait, given_up = decide_restart(self)
  if not wait then
    self.last_error.message = how .. given_up
  end
  self.spawner.events:emit("process:crash", crash.report(info,
    errors.new(self.last_error.code, self.last_error.message, { process = self.name })))
  if not wait then
    return self:_end(status)
  end
  self.restarting = core.go(ignore, ignore, function()
    core.detach() -- from the call in which it was lost
    core.sleep(wait)
    self.restarting = nil
    self.restart_count = self.restart_count + 1
    self:_begin()
  end)
end

--- Lets it be lost, as by `how` ("was killed by SIGKILL").
---@param how? string
function Process:crash(how)
  self.last_error = { code = "worker_lost", message = how or KILLED }
  if self.status == "starting" and self.restart_count == 0 then
    return self:_start_failed(self:_failure("spawn_failed", self.last_error.message
      .. " before it was ready"))
  end
  self:_crashed "crashed"
end

-- Its end ----------------------------------------------------------------------------------

-- One hook that fails must not keep the others from running.
---@param self titan.MockProcess
local function run_hooks(self)
  for _, name in ipairs(self.class.method_names) do
    if self.class.methods[name].on_shutdown then
      local ok, err = xpcall(self.functions[name], debug.traceback, self.self)
      if not ok then
        io.stderr:write("titan: on_shutdown method ", name, " failed: ", tasks.text_of(err), "\n")
      end
    end
  end
end

function Process:_look_whether_drained()
  if self.status == "stopping" and self.hooks_done and not next(self.in_flight) then
    self:_end "stopped"
  end
end

---@param status string
---@param err? titan.Error why it has not become ready
function Process:_end(status, err)
  if self.ended:done() then
    return
  end
  self.status, self.end_time, self.end_ms = status, core.now_ms(), core.monotonic_ms()
  self:_lose_calls(KILLED)
  self.spawner:_forget(self)
  if status == "stopped" then
    self.spawner.events:emit("process:stop", self:get_info())
  end
  self.finish_start(false, err or self:_failure("shutting_down",
    string.format("worker %q was stopped before it was ready", self.name)))
  self.finish(true)
end

--- The manager is closed: nothing of it goes on.
function Process:_abandon()
  if self.restarting then
    core.interrupt(self.restarting, self:_failure("cancelled", "the manager was closed"))
    self.restarting = nil
  end
  self:_fail_calls("destroyed", "the manager was closed")
  self:_end "stopped"
end

--- Stops it as a real one is stopped: its hooks run, calls under way finish, for so long.
---@param ms integer 0: at once
---@return true? nil, with an error, when it had to be killed
---@return titan.Error?
function Process:stop(ms)
  if self.restarting then
    core.interrupt(self.restarting, self:_failure("cancelled", "it is stopped"))
    self.restarting = nil
  end
  if self.status ~= "running" and self.status ~= "stopping" or ms == 0 then
    self:_end "stopped"
    return true
  elseif self.status == "running" then
    self.status = "stopping"
    self.owner:begin(function()
      self.hooks_done = true
      self:_look_whether_drained()
    end, run_hooks, self)
  end
  if tasks.wait(self.ended, ms) then
    return true
  end
  self.last_error = { code = "timeout", message = NOT_IN_TIME }
  self:_end "stopped"
  return nil, self:_failure("timeout", NOT_IN_TIME)
end

return Process
