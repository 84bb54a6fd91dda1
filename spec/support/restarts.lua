--- Policies that do not let a test wait, and crashes on purpose.

local proc = require "support.proc"

local restarts = {}

--- A restart policy that waits a moment at most and does not give up soon.
---@param changes table?
---@return table
function restarts.soon(changes)
  local policy = {
    max_restarts = 100, window = "1h", delay = 5,
    backoff = { type = "fixed", initial = 5, jitter = 0 },
  }
  for key, value in pairs(changes or {}) do
    policy[key] = value
  end
  return policy
end

--- One whose restart no test lives to see.
---@param changes table?
---@return table
function restarts.late(changes)
  local policy = restarts.soon { delay = "1h", backoff = { type = "fixed", initial = "1h",
    max = "1h", jitter = 0 } }
  for key, value in pairs(changes or {}) do
    policy[key] = value
  end
  return policy
end

--- Waits until a process has this status, and returns what is known of it then.
---@param pm titan.Manager
---@param key string
---@param status string
---@return table info
function restarts.await_status(pm, key, status)
  return proc.await(key .. " " .. status, function()
    local info = pm:get_process_info(key)
    return info and info.status == status and info
  end)
end

--- Kills a process and waits until it runs again.
---@param pm titan.Manager
---@param key string
---@return table info of the next life
function restarts.crash(pm, key)
  local before = pm:get_process_info(key)
  assert(pm:kill(key))
  return proc.await("the next life of " .. key, function()
    local info = pm:get_process_info(key)
    return info and info.status == "running" and info.restart_count > before.restart_count and info
  end)
end

return restarts
