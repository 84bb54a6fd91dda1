--- Processes seen from outside: what /proc knows of them, and programs started beside a test.
--
-- Everything that waits does so inside a task, for a condition and never for a time: `await`
-- looks again and again, and gives up only when the test has failed anyway.

local luv = require "luv"
local titan = require "titan"

local proc = {}

local PATIENCE_S <const> = 40
local LOOK_AGAIN_MS <const> = 5

--- Waits until `condition` returns something true, and returns that.
---@param what string for the error
---@param condition fun(): any
---@return any
function proc.await(what, condition)
  local started = luv.hrtime()
  repeat
    local value = condition()
    if value then
      return value
    end
    titan.sleep(LOOK_AGAIN_MS)
  until luv.hrtime() - started > PATIENCE_S * 1e9
  error("never came true: " .. what, 2)
end

-- Looking at processes -----------------------------------------------------------------

---@param path string
---@return string? text
function proc.read(path)
  local file = io.open(path, "rb")
  local text = file and file:read "a" -- nil when the process ends meanwhile
  if file then
    file:close()
  end
  return text
end

---@class spec.Stat
---@field pid integer
---@field state string R, S, D, T, Z ...
---@field parent integer
---@field group integer

---@param pid integer
---@return spec.Stat? nil when there is no such process
function proc.stat(pid)
  local text = proc.read("/proc/" .. math.tointeger(pid) .. "/stat")
  local state, parent, group = (text or ""):match "^%d+ %(.*%) (%a) (%d+) (%d+)"
  return state and { pid = pid, state = state, parent = math.tointeger(parent),
    group = math.tointeger(group) }
end

--- Whether it runs or could: a zombie does not.
---@param pid integer
---@return boolean
function proc.alive(pid)
  local stat = proc.stat(pid)
  return stat ~= nil and stat.state ~= "Z" and stat.state ~= "X"
end

--- Whether a process has a handler for a signal.
---@param pid integer
---@param signal integer
---@return boolean
function proc.catches(pid, signal)
  local status = proc.read("/proc/" .. pid .. "/status") or ""
  local mask = tonumber(status:match "SigCgt:%s*(%x+)" or "0", 16)
  return mask & (1 << (signal - 1)) ~= 0
end

---@param directory string
---@return string[]
local function entries(directory)
  local names = {}
  local scan = assert(luv.fs_scandir(directory))
  for name in luv.fs_scandir_next, scan do
    names[#names + 1] = name
  end
  return names
end

--- The processes for which `wanted` says yes.
---@param wanted fun(stat: spec.Stat): boolean
---@return spec.Stat[]
function proc.list(wanted)
  local found = {}
  for _, name in ipairs(entries "/proc") do
    local stat = name:find "^%d+$" and proc.stat(math.tointeger(name))
    if stat and wanted(stat) then
      found[#found + 1] = stat
    end
  end
  return found
end

--- The children of a process, zombies among them.
---@param pid? integer this one
---@return spec.Stat[]
function proc.children(pid)
  pid = pid or luv.os_getpid()
  return proc.list(function(stat)
    return stat.parent == pid
  end)
end

--- How many descriptors this process has open.
---@return integer
function proc.fds()
  return #entries "/proc/self/fd"
end

--- Waits until none of these processes lives any more.
---@param ... integer pids
function proc.await_gone(...)
  for _, pid in ipairs { ... } do
    proc.await("the end of process " .. pid, function()
      return not proc.alive(pid)
    end)
  end
end

--- Waits until a process is stopped (SIGSTOP is not at once).
---@param pid integer
function proc.await_stopped(pid)
  proc.await("SIGSTOP of process " .. pid, function()
    return (proc.stat(pid) or {}).state == "T"
  end)
end

-- Programs of the sanitized build ----------------------------------------------------------

--- Programs started from here on do without the sanitizer's search for leaks: it takes longer
--- than a hundred spawns, and who dies in the middle of something has leaked anyway. This
--- process keeps its own.
function proc.forget_leaks()
  local options = os.getenv "ASAN_OPTIONS"
  if options then
    luv.os_setenv("ASAN_OPTIONS", options .. ":detect_leaks=0")
  end
end

--- What a program of a test tells of the processes it has.
---@param text string with "pids 1 2 3" in it
---@return integer ...
function proc.pids_in(text)
  local pids = {}
  for pid in text:match("pids ([%d ]+)"):gmatch "%d+" do
    pids[#pids + 1] = math.tointeger(pid)
  end
  return table.unpack(pids)
end

-- Files ------------------------------------------------------------------------------------

--- A directory of its own for a test, with these files in it. Everybody may read them.
---@param files? table<string, string> text by name
---@return string path
function proc.directory(files)
  local path = assert(luv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/titan-spec-XXXXXX"))
  assert(luv.fs_chmod(path, tonumber("755", 8)))
  for name, text in pairs(files or {}) do
    local file = assert(io.open(path .. "/" .. name, "w"))
    file:write(text)
    file:close()
  end
  return path
end

--- Removes what `directory` made.
---@param path string
function proc.remove(path)
  for _, name in ipairs(entries(path)) do
    os.remove(path .. "/" .. name)
  end
  os.remove(path)
end

-- Events -----------------------------------------------------------------------------------

--- Collects the data of an event; `next` takes them in turn, waiting for those to come.
---@param pm titan.Manager
---@param event string
---@return fun(): table next
function proc.listen(pm, event)
  local heard, taken = {}, 0
  pm:on(event, function(data)
    heard[#heard + 1] = data
  end)
  return function()
    taken = taken + 1
    return proc.await(event, function()
      return heard[taken]
    end)
  end
end

-- Programs ---------------------------------------------------------------------------------

proc.titan = (os.getenv "TITAN_BUILD" or "build/asan") .. "/titan"

---@class spec.Program
---@field pid integer
---@field exit? { code: integer, signal: integer } as soon as it has ended
---@field package handle userdata
---@field package pipes table<string, userdata> stdout and stderr
---@field package chunks table<string, string[]> what came out of them
local Program = {}
Program.__index = Program

-- A test that fails leaves nothing running.
function Program:__gc()
  if not self.exit and self.pid then
    luv.kill(self.pid, "sigkill")
  end
end

---@param program spec.Program
---@param name string stdout or stderr
local function listen(program, name)
  local chunks = {}
  program.chunks[name] = chunks
  luv.read_start(program.pipes[name], function(_, chunk)
    if chunk then
      chunks[#chunks + 1] = chunk
    else
      program:close(name)
    end
  end)
end

---@return string what it has printed on its stdout so far
function Program:stdout()
  return table.concat(self.chunks.stdout)
end

---@return string
function Program:stderr()
  return table.concat(self.chunks.stderr)
end

---@return string[]? "NAME=value", nil for the environment of this process
local function environment(changes)
  if not changes then
    return nil
  end
  local values, list = luv.os_environ(), {}
  for name, value in pairs(changes) do
    values[name] = value or nil
  end
  for name, value in pairs(values) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

--- Starts a program; its output is collected.
---@param command string
---@param args string[]
---@param options? { cwd: string?, env: table<string, string|false>?, detached: boolean?,
--- uid: integer?, input: boolean? } detached: leads a process group; input: `write` works
---@return spec.Program
function proc.start(command, args, options)
  options = options or {}
  local self = setmetatable({
    chunks = {},
    pipes = {
      stdin = options.input and luv.new_pipe(), stdout = luv.new_pipe(), stderr = luv.new_pipe(),
    },
  }, Program)
  local handle, pid = luv.spawn(command, {
    args = args, cwd = options.cwd, env = environment(options.env), detached = options.detached,
    uid = options.uid, gid = options.uid,
    stdio = { self.pipes.stdin or nil, self.pipes.stdout, self.pipes.stderr },
  }, function(code, signal)
    self.exit = { code = code, signal = signal }
    self.handle:close()
    if self.pipes.stdin then
      self.pipes.stdin:close()
    end
  end)
  assert(handle, pid)
  self.handle, self.pid = handle, pid
  listen(self, "stdout")
  listen(self, "stderr")
  return self
end

--- Runs the text of a script with `titan run`.
---@param script string
---@param options? table as for start, and args: string[]
---@return spec.Program
function proc.script(script, options)
  local directory = proc.directory { ["app.lua"] = script }
  local args = { "run", directory .. "/app.lua" }
  table.move(options and options.args or {}, 1, #(options and options.args or {}), 3, args)
  local self = proc.start(proc.titan, args, options)
  self.directory = directory
  return self
end

--- Writes to its stdin.
---@param text string
function Program:write(text)
  self.pipes.stdin:write(text)
end

--- Stops reading: who writes there next finds the pipe closed.
---@param name string stdout or stderr
function Program:close(name)
  if not self.pipes[name]:is_closing() then
    self.pipes[name]:close()
  end
end

---@param signal string|integer
function Program:kill(signal)
  if not self.exit then
    luv.process_kill(self.handle, signal)
  end
end

--- Waits until it has printed what matches, and returns the captures.
---@param name string stdout or stderr
---@param pattern string
---@return string ...
function Program:await_output(name, pattern)
  local found
  proc.await(pattern .. " in " .. name, function()
    found = table.pack(self[name](self):match(pattern))
    if not found[1] and self.exit and self.pipes[name]:is_closing() then
      error(string.format("it has ended without printing %s\n%s%s", pattern,
        self:stdout(), self:stderr()), 0)
    end
    return found[1]
  end)
  return table.unpack(found, 1, found.n)
end

--- Waits until it has ended and everything it printed is here.
---@return integer code 128 and more: by a signal
function Program:await()
  proc.await("the end of " .. self.pid, function()
    return self.exit and self.pipes.stdout:is_closing() and self.pipes.stderr:is_closing()
  end)
  if self.directory then
    proc.remove(self.directory)
  end
  return self.exit.signal > 0 and 128 + self.exit.signal or self.exit.code
end

return proc
