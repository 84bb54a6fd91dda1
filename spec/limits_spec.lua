local core = require "titan.core"
local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"

proc.forget_leaks()
-- Memory that was freed would count: the sanitizer keeps it for a while.
luv.os_setenv("ASAN_OPTIONS", (os.getenv "ASAN_OPTIONS" or "") .. ":quarantine_size_mb=0")

local BOUNDED <const> = "workers.bounded"
local CLASS <const> = "workers.bounded_class"
local MB <const> = 1 << 20
local NO_GROUPS <const> = "TITAN_TEST_CGROUP_ROOT"

-- Where a process is, by controller; and the directory of that group.
local function group_of(pid, controller)
  local path
  local text = proc.read("/proc/" .. pid .. "/cgroup") or ""
  for names, found in text:gmatch ":([^:\n]*):([^\n]*)" do
    path = ("," .. names .. ","):find("," .. controller .. ",", 1, true) and found or path
  end
  for line in io.lines "/proc/self/mountinfo" do
    local top, at, options = line:match "^%S+ %S+ %S+ (%S+) (%S+) .* %- cgroup %S+ (%S+)"
    if at and path and ("," .. options .. ","):find("," .. controller .. ",", 1, true) then
      return at .. (top == "/" and path or path:sub(#top + 1))
    end
  end
end

-- The groups that managers of a process have, wherever they are.
local function groups_of(pid)
  local found = {}
  for _, controller in ipairs { "memory", "cpu" } do
    local own = group_of("self", controller)
    local scan = own and luv.fs_scandir(own)
    for name in luv.fs_scandir_next, scan or luv.fs_scandir "/proc/self/attr" do
      if name:find("titan-" .. math.tointeger(pid) .. "-", 1, true) then
        found[#found + 1] = own .. "/" .. name
      end
    end
  end
  return found
end

-- The test gets whether groups work here; without, the others are to be checked all the same.
local function grouped(config, fn)
  return managed(config, function(pm)
    local groups = core.manager_groups(pm.handle)
    if not (groups.memory and groups.cpu) then
      pending("no control groups here: " .. groups.why)
    end
    fn(pm)
  end)
end

-- A manager that finds no control groups.
local function ungrouped(config, fn)
  local test = managed(config, fn)
  return function()
    local nowhere = proc.directory()
    luv.os_setenv(NO_GROUPS, nowhere)
    local ok, err = pcall(test)
    luv.os_unsetenv(NO_GROUPS)
    proc.remove(nowhere)
    if not ok then
      error(err, 0)
    end
  end
end

local function bounded(pm, resources, options)
  options = options or {}
  options.resources = resources
  return pm:spawn(BOUNDED, options)
end

local function info_of(pm, worker)
  return pm:get_process_info(worker:__id())
end

describe("the Lua heap of a worker at its limit", function()
  it("is an error of the caller's, and the worker goes on", managed(function(pm)
    local worker = bounded(pm, { max_memory = "32MB" })
    for _, method in ipairs { "fill", "raise_again", "fill" } do
      local err = expect.error("limit_exceeded", worker[method], worker)
      expect.part({ "at its limit", "of 24 MB are in use", "resources.max_memory" }, err.message)
      assert.equal(7, worker:ping(7))
    end
    assert.equal("running", info_of(pm, worker).status)
  end))

  it("can be caught in the method", managed(function(pm)
    local worker = bounded(pm, { max_memory = "32MB" })
    local ok, err = worker:fill_and_catch()
    assert.is_false(ok)
    assert.equal("not enough memory", err)
  end))

  it("leaves calls beside it alone, and those after it, also when it stays full",
    managed(function(pm)
      local worker = bounded(pm, { max_memory = "32MB" })
      local beside = worker.async:ping("beside")
      expect.error("limit_exceeded", worker.fill, worker)
      assert.equal("beside", beside:await())
      assert.is_true(worker:hoard() > 50)
      assert.equal("ok", worker:ping "ok")
      expect.error("limit_exceeded", worker.fill, worker)
      worker:let_go()
      assert.is_true(worker:hoard() > 50)
    end))

  it("is the config's, which makes no group, and shown", managed(function(pm)
    local worker = bounded(pm)
    local limits = info_of(pm, worker).limits
    assert.same({ max = 512 * MB, heap = 384 * MB, by = { "allocator", "watch" } }, limits.memory)
    assert.same({ max = 1.0, by = { "watch" } }, limits.cpu)
    assert.same({ ms = 30000, by = "interrupt" }, limits.timeout)
    assert.same({}, limits.rlimits)
    assert.same({}, groups_of(luv.os_getpid()))
  end))

  it("may be none", managed(function(pm)
    local worker = bounded(pm, { max_memory = false, max_cpu = false, timeout = false })
    assert.same({ rlimits = {} }, info_of(pm, worker).limits)
    assert.equal(1, worker:ping(1))
  end))

  it("must leave room for what is there before the class", managed(
    { preload = { "fault_workers.globals" } }, function(pm)
      local ok, err = pcall(bounded, pm, { max_memory = "4MB" })
      if not ok then
        expect.part("in use before the class is loaded", err.message)
      end
    end))
end)

describe("a control group", function()
  it("bounds memory that is not Lua's, and what it died of is said", grouped({}, function(pm)
    local next_crash = proc.listen(pm, "process:crash")
    local worker = bounded(pm, { max_memory = "32MB" })
    assert.matches("^cgroup[12]$", info_of(pm, worker).limits.memory.by[2])
    local err = expect.error("worker_lost", worker.read_much, worker, 60)
    expect.part({ "over its memory limit of 32 MB (cgroup", "resources.max_memory" }, err.message)
    local report = next_crash()
    expect.part("over its memory limit of 32 MB (cgroup", report.error.message)
    assert.equal("SIGKILL", report.exit_signal)
  end))

  it("bounds what the worker starts, too", grouped({}, function(pm)
    local worker = bounded(pm, { max_memory = "32MB" })
    local ok, code = pcall(worker.feed_child, worker, 60)
    assert.is_true(not ok or code ~= 0) -- of the group, the kernel kills the largest, or all
  end))

  it("bounds the CPU", grouped({}, function(pm)
    local worker = bounded(pm, { max_cpu = 0.2 })
    local info = info_of(pm, worker)
    assert.matches("^cgroup[12]$", info.limits.cpu.by[1])
    assert.same({ "allocator", "watch" }, info.limits.memory.by)
    assert.is_true(worker:burn(350) < 0.7)
    local own = group_of(info.pid, "cpu")
    if own then
      assert.is_true(tonumber(proc.read(own .. "/cpu.stat"):match "nr_throttled (%d+)") > 0)
    end
  end))

  it("is gone after a stop, a crash, and its manager", grouped({}, function(pm)
    local function count()
      local inside = 0
      for _, group in ipairs(groups_of(luv.os_getpid())) do
        local scan = luv.fs_scandir(group)
        for _, kind in luv.fs_scandir_next, scan do
          inside = inside + (kind == "directory" and 1 or 0)
        end
      end
      return inside
    end
    local both <const> = { max_memory = "32MB", max_cpu = 0.5 }
    local first, second = bounded(pm, both), bounded(pm, both)
    local there = count()
    assert.is_true(there >= 2)
    local child = first:start_child()
    assert.is_true(proc.alive(child))
    pm:stop_process(first:__id())
    proc.await("the end of the group", function()
      return count() == there / 2
    end)
    proc.await_gone(child) -- although it has left the process group
    expect.error("worker_lost", second.die, second)
    proc.await("the end of the groups", function()
      return count() == 0
    end)
    pm:close()
    assert.same({}, groups_of(luv.os_getpid()))
  end))

  it("is there in each life", grouped({ restart_policy = { enabled = true, delay = 0 } },
    function(pm)
      local worker = bounded(pm, { max_memory = "32MB" })
      local next_restart = proc.listen(pm, "process:restart")
      expect.error("worker_lost", worker.die, worker)
      local info = next_restart()
      assert.matches("^cgroup[12]$", info.limits.memory.by[2])
      local err = expect.error("worker_lost", worker.read_much, worker, 60)
      expect.part("over its memory limit of 32 MB (cgroup", err.message)
    end))

  it("that a class wants is joined before init", grouped({}, function(pm)
    local limits = info_of(pm, pm:spawn(CLASS)).limits
    assert.equal(48 * MB, limits.memory.max)
    assert.matches("^cgroup[12]$", limits.memory.by[2])
    assert.matches("^cgroup[12]$", limits.cpu.by[1])
    assert.equal(0.5, limits.cpu.max)
    assert.equal(1234, limits.timeout.ms)
  end))

  it("of a dead manager is removed by the next", grouped({}, function(pm)
    local dead = proc.start("true", {})
    dead:await()
    local own = group_of("self", "memory")
    if not own then
      pending "cgroup v1 has no memory here"
    end
    local left = own .. "/titan-" .. math.tointeger(dead.pid) .. "-0"
    assert(luv.fs_mkdir(left, 493))
    assert(luv.fs_mkdir(left .. "/w1", 493))
    local titan = require "titan"
    local another = titan.manager { logs = { format = "none" } }
    core.manager_groups(another.handle)
    another:close()
    pm:close()
    assert.is_nil(luv.fs_stat(left))
  end))
end)

it("a manager that is killed leaves no group", function()
  require("titan").run(function()
    local program = proc.script [[
      local titan = require "titan"
      local pm = titan.manager { logs = { format = "none" } }
      local worker = pm:spawn("workers.bounded", { resources = { max_memory = "32MB" } })
      print("pids " .. pm:get_process_info(worker:__id()).pid .. " ready")
      io.stdout:flush()
      titan.sleep "1h"
    ]]
    program:await_output("stdout", "ready")
    local worker = proc.pids_in(program:stdout())
    local had = groups_of(program.pid)
    program:kill "sigkill"
    program:await()
    proc.await_gone(worker)
    for _, group in ipairs(had) do
      proc.await("the end of " .. group, function()
        return not luv.fs_stat(group)
      end)
    end
  end)
end)

describe("without control groups", function()
  it("it is said once, and the watch kills who is over its memory", ungrouped({}, function(pm)
    local lines = {}
    pm:on("log", function(line)
      lines[#lines + 1] = line.line
    end)
    local worker = bounded(pm, { max_memory = "32MB" })
    bounded(pm, { max_memory = "32MB" })
    assert.same({ "allocator", "rlimit_as", "watch" }, info_of(pm, worker).limits.memory.by)
    local err = expect.error("worker_lost", worker.read_much, worker, 60)
    expect.part("over its memory limit of 32 MB (watch)", err.message)
    assert.equal(1, #lines)
    expect.part({ "no control groups (", "max_memory by RLIMIT_AS and a watch" }, lines[1])
  end))

  it("the watch slows down who is over its CPU, and it can be stopped", ungrouped({
    monitoring = { health_check = { interval = 20, timeout = 20, failures = 1 } },
  }, function(pm)
    local worker = bounded(pm, { max_cpu = 0.05 },
      { health = { hang_after = 60, restart_hung = true } })
    local info = info_of(pm, worker)
    assert.same({ "watch" }, info.limits.cpu.by)
    local burning = worker.async:burn_for_ever()
    burning:ignore()
    proc.await("SIGSTOP by the watch", function()
      return (proc.stat(info.pid) or {}).state == "T"
    end)
    proc.await("SIGCONT by the watch", function()
      return (proc.stat(info.pid) or {}).state ~= "T"
    end)
    proc.await("another SIGSTOP", function()
      return (proc.stat(info.pid) or {}).state == "T"
    end)
    assert.equal("running", info_of(pm, worker).status) -- nobody thinks it hangs
    assert.is_true(pm:stop_process(worker:__id(), 0))
    proc.await_gone(info.pid)
  end))

  it("a worker that stands still stops in order", ungrouped({}, function(pm)
    local worker = bounded(pm, { max_cpu = 0.05 })
    local info = info_of(pm, worker)
    local share = worker.async:burn(1500)
    proc.await("SIGSTOP by the watch", function()
      return (proc.stat(info.pid) or {}).state == "T"
    end)
    assert.is_true(pm:stop_process(worker:__id()))
    assert.is_true(share:await() < 1.01) -- the call was finished
    assert.equal(0, info_of(pm, worker).exit_code)
  end))

  it("the sweep finds who is over a default", ungrouped({
    advanced = { liveness_sweep_interval = 20 },
  }, function(pm)
    local worker = bounded(pm)
    local process = core.manager_find(pm.handle, worker:__id())
    core.process_limit(process, 32 * MB, 0, false, false) -- as if the default were so little
    local err = expect.error("worker_lost", worker.read_much, worker, 60)
    expect.part("over its memory limit of 32 MB (watch)", err.message)
  end))
end)

describe("rlimits", function()
  it("hold for the worker, soft and hard", managed(function(pm)
    local rlimits = { nofile = 64, nproc = 4000, core = 0, fsize = "1MB", stack = "1MB",
      cpu = "90s" }
    local worker = bounded(pm, { rlimits = rlimits })
    local said = worker:limits()
    for name, line in pairs {
      nofile = "Max open files%s+64%s+64", nproc = "Max processes%s+4000%s+4000",
      core = "Max core file size%s+0%s+0", fsize = "Max file size%s+1048576%s+1048576",
      stack = "Max stack size%s+1048576%s+1048576", cpu = "Max cpu time%s+90%s+95",
    } do
      assert.is_truthy(said:find(line), name)
    end
    assert.same({ nofile = 64, nproc = 4000, core = 0, fsize = MB, stack = MB, cpu = 90000 },
      info_of(pm, worker).limits.rlimits)
    local count, why = worker:open_files(100)
    assert.is_true(count < 64)
    expect.part("Too many open files", why)
    assert.equal(1, worker:ping(1))
  end))

  it("say of what the worker died", managed(function(pm)
    local worker = bounded(pm, { rlimits = { fsize = "8KB", core = 0 } })
    local directory = proc.directory { file = "" }
    local err = expect.error("worker_lost", worker.write, worker, directory .. "/file", 10000)
    proc.remove(directory)
    expect.part({ "SIGXFSZ", "resources.rlimits.fsize" }, err.message)
    expect.part("resources.rlimits.fsize", info_of(pm, worker) and
      pm:get_process_info(worker:__id()).last_error.message)
  end))

  it("that cannot be set fail the spawn", managed(function(pm)
    local err = expect.error("spawn_failed", bounded, pm, { rlimits = { nofile = 1 << 30 } })
    expect.part("resources.rlimits.nofile cannot be set: ", err.message)
  end))

  it("of a class hold as well, and a spawn wins over them", managed(function(pm)
    assert.same({ 99, 99 }, { pm:spawn(CLASS):nofile() })
    local resources = { rlimits = { nofile = 88 }, max_memory = "40MB" }
    local worker = pm:spawn(CLASS, { resources = resources })
    assert.same({ 88, 88 }, { worker:nofile() })
    local limits = info_of(pm, worker).limits
    assert.same({ nofile = 88, core = 0 }, limits.rlimits)
    assert.equal(40 * MB, limits.memory.max)
  end))
end)

describe("bad resources are refused:", function()
  local cases = {
    { { resources = { max_memory = "1MB" } }, "options.resources.max_memory: " },
    { { resources = { max_memory = true } }, "options.resources.max_memory: " },
    { { resources = { max_cpu = 0 } }, "options.resources.max_cpu: " },
    { { resources = { max_cpu = "1" } }, "options.resources.max_cpu: " },
    { { resources = { timeout = 0 } }, "options.resources.timeout: " },
    { { resources = { rlimits = { nofile = 3 } } }, "options.resources.rlimits.nofile: " },
    { { resources = { rlimits = { nfile = 30 } } },
      'options.resources.rlimits.nfile: unknown key; did you mean "nofile"?' },
    { { resources = { rlimits = { cpu = 10 } } }, "options.resources.rlimits.cpu: " },
    { { resources = { rlimits = { stack = 1 } } }, "options.resources.rlimits.stack: " },
    { { memory = "32MB", resources = { max_memory = "32MB" } }, "options.memory: " },
  }
  for i, case in ipairs(cases) do
    it(case[2] .. " " .. i, managed(function(pm)
      expect.part(case[2], expect.error("invalid_config", pm.spawn, pm, BOUNDED, case[1]).message)
    end))
  end

  it("for what a thread shares with others", function()
    local limits = require "titan.worker.limits"
    local given = { max_memory = MB, max_cpu = 1, timeout = 1, rlimits = {} }
    local function refused(named)
      return expect.error("invalid_config", limits.for_isolation, given, named, "thread",
        "options.resources").message
    end
    expect.part("options.resources.max_cpu: ", refused { memory = true, cpu = true })
    assert.same({ max_memory = MB, max_cpu = false, timeout = 1, rlimits = {} },
      limits.for_isolation(given, { memory = true, cpu = false }, "worker", ""))
    given.rlimits.core = 0
    expect.part("options.resources.rlimits.core: ", refused { memory = true, cpu = false })
    assert.equal(given, limits.for_isolation(given, { cpu = true }, "process", ""))
  end)
end)
