--- Crash reports: one shape for every worker that ended without being asked to.

local text = require "titan.text"
local units = require "titan.units"

local crash = {}

---@class titan.CrashReport
---@field id string
---@field name string
---@field pid? integer none of a mock process
---@field reason string such as "was killed by SIGKILL", "exited with code 3"
---@field exit_code? integer
---@field exit_signal? string
---@field error titan.Error what calls that were under way got, or what it did wrong
---@field uptime number ms
---@field running? { method: string, for_ms: number } whose code was running at that moment
---@field in_flight integer calls begun and not ended
---@field calls integer
---@field errors integer
---@field last_calls { method: string, ago_ms: number, took_ms?: number, failed?: boolean }[]
---@field lua_heap integer bytes, after the last call that ended
---@field stderr string its last lines
---@field stdout string

local SHOWN <const> = 4 -- last calls in the text

---@param ms number
---@return string
local function duration(ms)
  return ms < 10 and string.format("%.1fms", ms) or units.format_duration(math.floor(ms + 0.5))
end

---@param call { method: string, ago_ms: number, took_ms?: number, failed?: boolean }
---@return string
local function describe_call(call)
  if not call.took_ms then
    return string.format("%s, begun %s before, not ended", call.method, duration(call.ago_ms))
  end
  return string.format("%s, %s before, took %s%s", call.method, duration(call.ago_ms),
    duration(call.took_ms), call.failed and ", failed" or "")
end

---@param report titan.CrashReport
---@return string
local function doing(report)
  if report.running then
    return string.format("running %s, for %s", report.running.method,
      duration(report.running.for_ms))
  end
  return report.in_flight > 0 and "waiting inside a method" or "idle"
end

local Report = { __name = "titan.CrashReport" }

---@param report titan.CrashReport
---@return string several lines
function Report.__tostring(report)
  local lines = {
    string.format("crash of %s (%s, %s): it %s", report.name, report.id,
      report.pid and "pid " .. report.pid or "no process", report.reason),
    string.format("  was      %s; %d in flight; up for %s", doing(report), report.in_flight,
      duration(report.uptime)),
    string.format("  calls    %d, %d failed; Lua heap %s", report.calls, report.errors,
      units.format_size(report.lua_heap)),
  }
  if report.error.message ~= report.reason then
    table.insert(lines, 2, "  error    " .. text.printable(report.error.message))
  end
  for i = 1, math.min(SHOWN, #report.last_calls) do
    lines[#lines + 1] = (i == 1 and "  last     " or "           ")
      .. describe_call(report.last_calls[i])
  end
  for line in report.stderr:gmatch("[^\n]+") do
    lines[#lines + 1] = "  stderr   " .. text.printable(line)
  end
  return table.concat(lines, "\n")
end

--- Makes the report of what is known of a process.
---@param info table as core.process_info gives it
---@param err titan.Error
---@return titan.CrashReport
function crash.report(info, err)
  local activity = info.activity or { in_flight = 0, calls = 0, errors = 0, lua_heap = 0,
    last_calls = {} }
  return setmetatable({
    id = info.id, name = info.name, pid = info.pid, reason = info.exit,
    exit_code = info.exit_code, exit_signal = info.exit_signal, error = err,
    uptime = info.uptime, running = activity.running, in_flight = activity.in_flight,
    calls = activity.calls, errors = activity.errors, last_calls = activity.last_calls,
    lua_heap = activity.lua_heap, stderr = info.stderr_tail, stdout = info.stdout_tail,
  }, Report)
end

return crash
