--- Where errors were raised, kept until somebody wants to know.

local traces = {}

-- Where the last error of each coroutine was raised. Noted beside the error and not around it:
-- to-be-closed variables see what the message handler returns.
local noted = setmetatable({}, { __mode = "k" })

--- The traceback that is noted of this error in this coroutine.
---@param err any
---@return string?
function traces.noted(err)
  local trace = noted[coroutine.running()]
  return trace and rawequal(trace.error, err) and trace.text or nil
end

--- A message handler that notes where the error was raised, and lets it be. One that was caught
--- so and is raised again was raised where it was first.
---@param err any
---@return any err
function traces.note(err)
  if not traces.noted(err) then
    noted[coroutine.running()] = { error = err, text = debug.traceback(nil, 2) }
  end
  return err
end

--- The same, and nothing is noted any more.
---@param err any
---@return string?
function traces.take(err)
  local trace = traces.noted(err)
  noted[coroutine.running()] = nil
  return trace
end

return traces
