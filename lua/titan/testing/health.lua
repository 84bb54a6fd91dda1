--- How a mock process is. Nobody asks by himself: a check is made when `__health` is called, by the
--- health_check methods of the class, and one that fails makes it unhealthy at once.

local core = require "titan.core"
local errors = require "titan.errors"
local tasks = require "titan.tasks"

local health = {}

local BADNESS <const> = { unknown = 0, healthy = 0, degraded = 1, unhealthy = 2 }

-- What core/manager/health_answer.c makes of the results of a method.
---@param first any
---@param second any
---@return string status
---@return string? reason
---@return table? details
local function read(first, second)
  local reason = type(second) == "string" and second or nil
  if type(first) == "table" then
    local status, said = first.status, nil
    if type(first.reason) == "string" then
      said = first.reason
    elseif type(first.message) == "string" then
      said = first.message
    end
    if type(status) ~= "string" then
      return "unhealthy", said or "its answer has no status (a string: healthy, degraded or "
        .. "unhealthy)", first
    elseif not BADNESS[status] or status == "unknown" then
      return "unhealthy", said or "its status is none of healthy, degraded and unhealthy: "
        .. status, first
    end
    return status, said or (status == "unhealthy" and "it says so" or nil), first
  elseif first == nil and not reason or first == true then
    return "healthy"
  elseif first == nil or first == false then
    return "unhealthy", reason or "it answered false"
  end
  return "unhealthy", "it answered neither true or false nor a table with a status"
end

---@param process titan.MockProcess
---@param name string
---@return string status
---@return string? reason
---@return table? details
local function ask(process, name)
  local ok, first, second = pcall(process.probe, process, name)
  if not ok then
    return "unhealthy", "it raised: " .. (errors.is(first) and first.message
      or tasks.text_of(first))
  end
  return read(first, second)
end

--- Asks the methods, waits for what they say, and keeps it. Returns what it was before.
---@param process titan.MockProcess
---@return titan.Health
---@return string previous
function health.check(process)
  local began, status, reason, details = core.monotonic_ms(), "healthy", nil, nil
  for _, name in ipairs(process.class.method_names) do
    if process.class.methods[name].health_check then
      local said, why, more = ask(process, name)
      if BADNESS[said] > BADNESS[status] then
        status, reason, details = said, why and name .. ": " .. why, more
      end
      details = details or more
    end
  end
  local known = process.health
  local previous = known and known.status or "unknown"
  local now = core.now_ms()
  process.health = {
    id = process.id, status = status, reason = reason, details = details, busy = false,
    failures = status == "unhealthy" and (known and known.failures or 0) + 1 or 0,
    last_check = now, since = previous == status and known.since or now,
    latency = core.monotonic_ms() - began,
  }
  return process.health, previous
end

--- What is known by now.
---@param process titan.MockProcess
---@return titan.Health
function health.known(process)
  local known = process.health
    or { id = process.id, status = "unknown", failures = 0, busy = false }
  if process.status ~= "crashed" and process.status ~= "failed" then
    return known
  end
  local copy = {
    status = "unhealthy",
    reason = string.format("it has %s: %s", process.status, process.last_error.message),
  }
  for key, value in pairs(known) do
    copy[key] = copy[key] or value
  end
  return copy
end

--- As `pm:health`.
---@param processes titan.MockProcess[]
---@return table
function health.of_all(processes)
  local worst, checks = "healthy", {}
  for _, process in ipairs(processes) do
    local known = health.known(process)
    checks[process.name] = known
    worst = BADNESS[known.status] > BADNESS[worst] and known.status or worst
  end
  return { status = worst, checks = checks, timestamp = core.now_ms() }
end

return health
