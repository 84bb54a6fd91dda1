--- Running: `titan.run(fn)` and `titan run app.lua`, from the first line to the last worker.

local core = require "titan.core"
local errors = require "titan.errors"
local locate = require "titan.locate"
local tasks = require "titan.tasks"

local run = {}

-- The managers that are open, and what the current run has been told by signals.
local managers = {}
local signals = {}
local ended_by_signal -- when the first one came, ms; nil before

--- Makes the run responsible for a manager.
---@param manager titan.Manager
function run.adopt(manager)
  managers[#managers + 1] = manager
  if manager.config.advanced.handle_signals then
    run.watch_signals()
  end
end

-- Signals ----------------------------------------------------------------------------------

-- Nothing may be left behind, even in a hurry.
local function force()
  for _, manager in ipairs(managers) do
    manager:close()
  end
  io.stderr:write("titan: second signal, workers killed\n")
  os.exit(1, false)
end

local function end_gracefully()
  for _, manager in ipairs(managers) do
    manager:stop_all()
  end
  tasks.cancel_all()
  if run.main then
    core.interrupt(run.main, errors.new("shutting_down", "the program was told to stop"))
  end
end

-- timeout(1) and some terminals signal a program and then its group: that is one signal.
local SAME_SIGNAL_MS <const> = 20

local function on_signal()
  local now = core.monotonic_ms()
  if ended_by_signal and now - ended_by_signal > SAME_SIGNAL_MS then
    return force()
  elseif ended_by_signal then
    return
  end
  ended_by_signal = now
  tasks.go(end_gracefully):ignore()
end

--- SIGTERM and SIGINT stop everything gracefully, a second one at once.
function run.watch_signals()
  if #signals > 0 then
    return
  end
  local luv = require "luv"
  for _, name in ipairs { "sigterm", "sigint" } do
    local handle = luv.new_signal()
    luv.signal_start(handle, name, on_signal)
    luv.unref(handle)
    signals[#signals + 1] = handle
  end
end

local function forget_signals()
  for _, handle in ipairs(signals) do
    handle:close()
  end
  signals = {}
end

-- One run --------------------------------------------------------------------------------

local function stop_managers()
  for _, manager in ipairs(managers) do
    manager:stop_all()
    manager:close()
  end
end

-- A task that swallows its cancellation has so long to end by itself, then it is closed.
local UNWIND_MS <const> = 1000

--- Ends the run with this error, also when the program catches what it is interrupted with.
---@param err titan.Error
function run.fail(err)
  run.failure = run.failure or err
  if run.main then
    core.interrupt(run.main, err)
  end
end

-- The program, then what it started: its tasks, and supervisors and pools until they are stopped.
---@param fn function
local function program(fn, ...)
  local results = table.pack(fn(...))
  tasks.wait_all()
  for _, manager in ipairs(managers) do
    manager:_await_running()
    tasks.wait_all()
  end
  if run.failure then
    error(run.failure, 0)
  end
  return table.unpack(results, 1, results.n)
end

-- The main task: the program and then the end of everything.
---@param fn function
---@return boolean ok
---@return any ... the results, or the error and its traceback
local function main(fn, ...)
  run.main = core.current()
  local _ <close> = setmetatable({}, { __close = forget_signals }) -- also when it is given up
  local results = table.pack(xpcall(program, tasks.trace, fn, ...))
  if not results[1] then
    results[3], results.n = tasks.take_trace(results[2]), 3
  end
  run.main = nil
  tasks.cancel_all()
  stop_managers()
  tasks.wait_all(UNWIND_MS)
  return table.unpack(results, 1, results.n)
end

---@return boolean ok
---@return any ... the results, or the error and its traceback
local function run_main(fn, ...)
  if core.is_worker() then
    errors.raise("invalid_config", "titan.run: a worker's loop runs already; use titan.go")
  end
  ended_by_signal = nil
  run.failure = nil
  local outcome = core.run(debug.traceback, main, fn, ...)
  for _, manager in ipairs(managers) do
    manager:close()
  end
  managers = {}
  run.main = nil
  local clean = tasks.end_run()
  if not outcome then
    local why = outcome == nil and "the program waits for something that can never come"
      or "an error in a callback ended the program"
    return false, errors.new("cancelled", why)
  end
  if not outcome.ok then
    return false, outcome[1]
  elseif ended_by_signal then
    return true
  elseif outcome[1] and not clean then
    return false, errors.new("remote_error", "an error in a task was never awaited (see stderr)")
  end
  return table.unpack(outcome, 1, outcome.n)
end

--- Runs `fn` as a task and the loop until it, its tasks and its workers have ended: workers
--- that are left when `fn` and the tasks it started have returned are stopped gracefully.
--- Returns what `fn` returns, raises what it raises. After a SIGTERM or SIGINT it returns nothing.
---@param fn fun(...): ...
---@param ... any its arguments
---@return any ...
function run.run(fn, ...)
  if type(fn) ~= "function" then
    errors.raise("invalid_config", "titan.run: expected a function, given a " .. type(fn))
  end
  locate.main_file = locate.main_file or arg and arg[0] and core.realpath(arg[0])
  local results = table.pack(run_main(fn, ...))
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

---@param err any
---@param traceback string?
local function print_uncaught(err, traceback)
  local has_own = errors.is(err) and err.traceback
  io.stderr:write("titan: ", tasks.text_of(err), "\n", not has_own and traceback or "",
    not has_own and traceback and "\n" or "")
end

--- `titan run FILE args...`. Modules are found beside the script first. When the program and its
--- workers have ended, handles of luv that it has left open keep it running.
---@param file string
---@param ... string
---@return integer exit code
function run.script(file, ...)
  local directory = file:match("^(.*/)") or "./"
  directory = core.realpath(directory) or directory:gsub("/$", "")
  package.path = directory .. "/?.lua;" .. directory .. "/?/init.lua;" .. package.path
  locate.main_file = core.realpath(file)
  _G.arg = { [0] = file, ... }
  local chunk, why = loadfile(file)
  if not chunk then
    io.stderr:write("titan: ", why, "\n")
    return 1
  end
  local ok, err, traceback = run_main(chunk, ...)
  if not ok then
    print_uncaught(err, traceback)
  elseif not ended_by_signal then
    ok = core.run_handles()
  end
  return ok and 0 or 1
end

return run
