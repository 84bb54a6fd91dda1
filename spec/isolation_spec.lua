--- What goes wrong in a worker is contained there, whatever it lives in.

local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local restarts = require "support.restarts"
local titan = require "titan"

proc.forget_leaks()
-- Memory that was freed would count: the sanitizer keeps it for a while.
luv.os_setenv("ASAN_OPTIONS", (os.getenv "ASAN_OPTIONS" or "") .. ":quarantine_size_mb=0")

local WORKER <const> = "workers.contained"
local KINDS <const> = { "process", "worker", "thread" }
local SHORT <const> = { timeout = 30 }
local TSAN <const> = (os.getenv "TITAN_BUILD" or ""):find "tsan" ~= nil
local SANITIZED <const> = TSAN or (os.getenv "TITAN_BUILD" or ""):find "asan" ~= nil

-- The thread sanitizer delivers a signal only at certain calls, which some loops do not make.
local untested_by_tsan = TSAN and pending or it

-- Two workers of a kind, one to suffer and one beside it. `config` goes over the manager's.
local function in_kind(kind, config, fn)
  if not fn then
    config, fn = {}, config
  end
  local whole = { isolation = kind }
  for key, value in pairs(config) do
    whole[key] = value
  end
  return managed(whole, function(pm)
    local beside = pm:spawn(WORKER, { name = "beside" })
    fn(pm, pm:spawn(WORKER, { name = "victim" }), beside)
    assert.equal(3, beside:add(1, 2))
    assert.equal("running", pm:get_process_info("beside").status)
    assert.equal(0, pm:get_process_info("beside").restart_count)
  end)
end

-- The worker has survived.
local function expect_alive(pm, worker)
  assert.equal(3, worker:add(1, 2))
  local info = pm:get_process_info(worker:__id())
  assert.equal("running", info.status)
  assert.equal(0, info.restart_count)
end

local function await_running(pm, name, method)
  proc.await("the loop of " .. name, function()
    local running = pm:get_process_info(name).activity.running
    return running and running.method == method
  end)
end

local function tasks_of_process()
  local count = 0
  local scan = assert(luv.fs_scandir "/proc/self/task")
  for _ in luv.fs_scandir_next, scan do
    count = count + 1
  end
  return count
end

for _, kind in ipairs(KINDS) do
  local function test(...)
    return in_kind(kind, ...)
  end
  local in_process = kind == "process"

  describe("a worker of isolation " .. kind, function()
    it("survives its Lua errors", test(function(pm, worker)
      expect.part("on purpose", expect.error("remote_error", worker.raise, worker).message)
      expect.error("remote_error", worker.raise_unprintable, worker)
      expect_alive(pm, worker)
    end))

    it("survives deep recursion", test(function(pm, worker)
      for _, how in ipairs { "lua", "gsub", "metamethod", "handler" } do
        expect.error("remote_error", worker.recurse, worker, how)
        expect_alive(pm, worker)
      end
    end))

    it("survives that its memory is out", managed({ isolation = kind }, function(pm)
      -- A process has memory that is not its heap's, and sanitized code has more of it.
      local max, of_max = "16MB", "of 16 MB are in use"
      if in_process then
        max, of_max = "32MB", "of 24 MB are in use"
      end
      local worker = pm:spawn(WORKER, { name = "victim", resources = { max_memory = max } })
      local beside = pm:spawn(WORKER, { name = "beside" })
      for _ = 1, 3 do
        local err = expect.error("limit_exceeded", worker.fill, worker)
        expect.part({ of_max, "resources.max_memory" }, err.message)
        expect_alive(pm, worker)
      end
      assert.is_true(worker:hoard() > 50)
      expect_alive(pm, worker)
      worker:let_go()
      expect_alive(pm, beside)
    end))

    it("is interrupted when its time is over", test(function(pm, worker)
      expect.error("timeout", function()
        worker:with(SHORT):loop "plain"
      end)
      expect_alive(pm, worker)
    end))

    untested_by_tsan("is interrupted in a loop of nothing", test(function(pm, worker)
      expect.error("timeout", function()
        worker:with(SHORT):loop "bare"
      end)
      expect_alive(pm, worker)
    end))

    for _, how in ipairs { "plain", "pcall", "coroutine" } do
      it("can be killed in an endless loop: " .. how, test(function(pm, worker)
        local call = worker.async:loop(how)
        await_running(pm, "victim", "loop")
        assert.is_true(pm:kill "victim")
        expect.error("worker_lost", call.await, call)
        local info = restarts.await_status(pm, worker:__id(), "crashed")
        assert.equal("SIGKILL", info.exit_signal)
      end))
    end

    it("that catches its interruptions is killed and started again", test({
      advanced = { interrupt_grace = 60 }, restart_policy = restarts.soon(),
    }, function(pm, worker)
      expect.error("timeout", function()
        worker:with(SHORT):loop "pcall"
      end)
      proc.await("the next life", function()
        local info = pm:get_process_info "victim"
        return info.restart_count == 1 and info.status == "running"
      end)
      assert.equal(3, worker:add(1, 2))
    end))

    it("dies alone of an error in a callback", test({ restart_policy = restarts.soon() },
      function(pm, worker)
        local next_crash = proc.listen(pm, "process:crash")
        expect.error("worker_lost", worker.raise_in_timer, worker)
        local report = next_crash()
        assert.equal("victim", report.name)
        expect.part("in a timer", report.stderr)
        proc.await("the next life", function()
          return pm:get_process_info("victim").status == "running"
        end)
        assert.equal(3, worker:add(1, 2))
      end))

    it("ends with os.exit", test(function(pm, worker)
      expect.error("worker_lost", worker.exit, worker, 3)
      local info = restarts.await_status(pm, worker:__id(), "crashed")
      assert.equal(3, info.exit_code)
      assert.equal("", info.stdout_tail)
    end))

    it("prints its own lines", test(function(pm, worker)
      local next_line = proc.listen(pm, "log")
      worker:print("hello", "world")
      local lines = {}
      for _ = 1, 3 do
        local entry = next_line()
        assert.equal("victim", entry.name)
        assert.equal(worker:__id(), entry.id)
        lines[entry.stream] = (lines[entry.stream] or "") .. entry.line .. "|"
      end
      assert.same({ stdout = "hello\tworld|written hello|",
        stderr = "complained hello|" }, lines)
    end))

    it("has globals and modules of its own", test(function(_, worker, beside)
      assert.is_nil(worker:set_global "one")
      assert.is_nil(beside:set_global "two")
      assert.equal("one", worker:set_global "three")
      assert.is_nil(rawget(_G, "titan_spec_global"))
    end))

    it("has a loop of its own", test(function(pm, worker)
      assert.equal("rung", worker:timer "rung")
      assert.equal(luv.fs_stat("/proc/self/exe") and luv.fs_stat(proc.titan).size,
        worker:size_of(proc.titan))
      assert.equal("ECHO", worker:tcp "echo")
      worker:forget_handle()
      assert.is_true(pm:stop_process(worker:__id()))
    end))

    it("has timers that are not early", test(function(_, worker)
      assert.equal("rung", worker:timer "rung") -- from here on its loop stands still
      titan.sleep(60)
      assert.is_true(worker:timer_took(40) >= 20) -- the loop counts from the beginning of a turn
      assert.equal("rung", worker:timer_unref "rung")
    end))

    it("tells what it is", test(function(pm, worker)
      local info = pm:get_process_info(worker:__id())
      assert.equal(kind, info.isolation)
      assert.equal(in_process and "unix" or "inproc", info.transport)
      assert.equal(512 << 20, info.limits.memory.max)
      assert.equal("allocator", info.limits.memory.by[1])
      assert.same({ ms = 30000, by = "interrupt" }, info.limits.timeout)
      if not in_process then
        assert.is_nil(info.limits.cpu)
        assert.same({ "allocator" }, info.limits.memory.by)
      end
    end))

    it("may fail to start alone", test(function(pm)
      local err = expect.error("startup_timeout", pm.spawn, pm, WORKER,
        { options = { loop = "plain" }, startup_timeout = 40 })
      expect.part(" within 40 ms", err.message)
    end))

    it("has what is preloaded", managed({ isolation = kind, preload = { "workers.many" } },
      function(pm)
        assert.is_true(pm:spawn(WORKER):loaded "workers.many")
      end))
  end)
end

for _, kind in ipairs { "worker", "thread" } do
  describe("isolation " .. kind, function()
    it("refuses pools that look at what only a process has", managed({ isolation = kind },
      function(pm)
        for key, options in pairs {
          ["pool.memory_limit"] = { memory_limit = "10MB" },
          ["pool.auto_scale.cpu"] = { auto_scale = { cpu = 0.5 } },
          ["pool.auto_scale.memory"] = { auto_scale = { memory = 1 << 20 } },
        } do
          options.size = 1
          local err = expect.error("invalid_config", pm.create_pool, pm, WORKER, options)
          expect.part({ key .. ": ", kind, 'isolation = "process"' }, err.message)
        end
        pm:create_pool(WORKER, { size = 1, auto_scale = { queue = 1 } }):destroy()
      end))

    it("refuses what only a process can be given", managed({ isolation = kind }, function(pm)
      for key, options in pairs {
        ["options.env"] = { env = { A = "1" } },
        ["options.cwd"] = { cwd = "/tmp" },
        ["resources.max_cpu"] = { resources = { max_cpu = 0.5 } },
        ["resources.rlimits.nofile"] = { resources = { rlimits = { nofile = 64 } } },
        ["options.security"] = { security = { permissions = { network = false } } },
      } do
        local err = expect.error("invalid_config", pm.spawn, pm, WORKER, options)
        expect.part(key, err.message)
        assert.truthy(err.message:find('isolation = "process"', 1, true)
          or err.details.allowed == 'isolation = "process"')
      end
      assert.same({}, pm:get_all_processes())
    end))

    it("is whatever is nearest: config, class, spawn", managed(function(pm)
      local function isolation_of(worker)
        assert.equal(3, worker:add(1, 2))
        return pm:get_process_info(worker:__id()).isolation
      end
      assert.equal("worker", isolation_of(pm:spawn(require "workers.isolated")))
      assert.equal(kind, isolation_of(pm:spawn("workers.isolated", { isolation = kind })))
      assert.equal(kind, isolation_of(pm:spawn(WORKER, { isolation = kind })))
      local err = expect.error("invalid_config", pm.spawn, pm, "workers.isolated")
      expect.part({ 'isolation = "worker"', "say it where it is spawned" }, err.message)
    end))
  end)
end

describe("the isolations", function()
  it("live in one manager and call each other", managed(function(pm)
    for _, kind in ipairs(KINDS) do
      pm:spawn(WORKER, { name = kind, isolation = kind })
    end
    for _, from in ipairs(KINDS) do
      for _, to in ipairs(KINDS) do
        assert.equal(7, pm:discover(from):call(to, "add", 3, 4), from .. " to " .. to)
        expect.error("remote_error", function()
          pm:discover(from):call(to, "raise")
        end)
      end
    end
  end))

  it("are children of one supervisor", managed({ restart_policy = restarts.soon() }, function(pm)
    local children = {}
    for i, kind in ipairs(KINDS) do
      children[i] = { name = kind, process = WORKER, options = { isolation = kind } }
    end
    local tree = pm:create_supervisor { strategy = "one_for_all", children = children,
      backoff = { type = "fixed", initial = 1, jitter = 0 }, max_restarts = 100 }
    tree:start()
    for _, victim in ipairs(KINDS) do
      local before = {}
      for _, kind in ipairs(KINDS) do
        before[kind] = pm:get_process_info(kind).id
        assert.equal(kind, pm:get_process_info(kind).isolation)
      end
      assert.is_true(pm:kill(victim))
      proc.await("all again after " .. victim, function()
        for _, kind in ipairs(KINDS) do
          local info = pm:get_process_info(kind)
          if not info or info.status ~= "running"
            or info.id == before[kind] and info.restart_count == 0 then
            return false
          end
        end
        return tree:status() == "running"
      end)
    end
    for _, kind in ipairs(KINDS) do
      assert.equal(3, tree:child(kind):add(1, 2))
    end
    assert.is_true(tree:stop())
  end))

  for _, kind in ipairs(KINDS) do
    it("are pools: " .. kind, managed({ restart_policy = restarts.soon() }, function(pm)
      local pool = pm:create_pool(WORKER, { size = 3, spawn_options = { isolation = kind } })
      local calls = {}
      for i = 1, 30 do
        calls[i] = pool.async:add(i, i)
      end
      local sums = titan.all(calls)
      for i = 1, 30 do
        assert.equal(2 * i, sums[i])
      end
      for _, info in ipairs(pm:get_all_processes()) do
        assert.equal(kind, info.isolation)
      end
      local next_crash = proc.listen(pm, "process:crash")
      local victim = pm:get_all_processes()[1].id
      assert.is_true(pm:kill(victim))
      assert.equal(victim, next_crash().id)
      proc.await("three again", function()
        local running = 0
        for _, info in ipairs(pm:get_all_processes()) do
          running = running + (info.status == "running" and 1 or 0)
        end
        return running == 3
      end)
      assert.equal(5, pool:add(2, 3))
      pool:destroy()
    end))
  end
end)

describe("isolation thread", function()
  it("preempts what does not give way", managed({
    isolation = "thread", advanced = { threads = 1 },
  }, function(pm)
    local loops = {}
    for i = 1, 2 do
      local worker = pm:spawn(WORKER, { name = "loop-" .. i })
      loops[i] = worker.async:loop(TSAN and "plain" or "bare")
    end
    local third = pm:spawn(WORKER, { name = "third" })
    await_running(pm, "loop-1", "loop")
    for i = 1, 5 do
      assert.equal(2 * i, third:add(i, i))
    end
    assert.equal("rung", third:timer "rung")
    for i = 1, 2 do
      assert.is_false(loops[i]:done())
      assert.is_true(pm:kill("loop-" .. i))
      expect.error("worker_lost", loops[i].await, loops[i])
    end
    assert.equal(3, third:add(1, 2))
  end))

  describe("finishes what it has preempted before it begins anything else", function()
    local WAIT_MS <const> = 20

    local function running(method)
      return function(pm, id)
        await_running(pm, id, method)
      end
    end

    -- A task that is begun in a method is no method.
    local function begun(pm, id)
      proc.await("the call of " .. id, function()
        return pm:get_process_info(id).activity.calls > 0
      end)
    end

    local function preempting(fn)
      return managed({ isolation = "thread", advanced = { threads = 1 } }, function(pm)
        local directory = proc.directory {}
        local worker, other = pm:spawn "workers.preempted", pm:spawn "workers.preempted"
        local path = directory .. "/go-on"
        local seen = fn(worker, path)
        seen.await(pm, worker:__id())
        -- On the thread of the one that is running, and after whatever that waits for.
        other:awake(2 * WAIT_MS, "other")
        other:create(path)
        titan.all(seen.calls)
        assert.same(seen.order, worker:noted())
        proc.remove(directory)
      end)
    end

    it("calls that come meanwhile", preempting(function(worker, path)
      local calls = { worker.async:last(path, "long") }
      for i = 1, 5 do
        calls[#calls + 1] = worker.async:short(i)
      end
      return { await = running "last", calls = calls,
        order = { "begin long", "end long", 1, 2, 3, 4, 5 } }
    end))

    it("times that are over meanwhile", preempting(function(worker, path)
      local calls = { worker.async:awake(WAIT_MS, "awake"), worker.async:short "short",
        worker.async:last(path, "long") }
      return { await = running "last", calls = calls,
        order = { "short", "begin long", "end long", "awake" } }
    end))

    it("a coroutine of its own", preempting(function(worker, path)
      local calls = { worker.async:in_a_coroutine(path, "inner"), worker.async:short "short" }
      return { await = running "in_a_coroutine", calls = calls,
        order = { "begin inner", "end inner", "short" } }
    end))

    it("a task in a task", preempting(function(worker, path)
      local calls = { worker.async:in_a_task(path, "inner"), worker.async:short "short" }
      return { await = begun, calls = calls,
        order = { "begin inner", "end inner", "after inner", "short" } }
    end))
  end)

  it("lets twenty states have loops of their own", managed({
    isolation = "thread", advanced = { threads = 2 },
  }, function(pm)
    local workers = {}
    for i = 1, 20 do
      workers[i] = pm:spawn(WORKER)
    end
    local size = luv.fs_stat(proc.titan).size
    for _ = 1, 3 do
      local results = {}
      for i, worker in ipairs(workers) do
        results[#results + 1] = worker.async:timer(i)
        results[#results + 1] = worker.async:size_of(proc.titan)
        results[#results + 1] = worker.async:tcp("text " .. i)
      end
      local got = titan.all(results)
      for i = 1, 20 do
        assert.equal(i, got[3 * i - 2])
        assert.equal(size, got[3 * i - 1])
        assert.equal("TEXT " .. i, got[3 * i])
      end
    end
  end))

  it("is told how many threads to use", function()
    for _, count in ipairs { 0, 257 } do
      local err = expect.error("invalid_config", titan.manager, { advanced = { threads = count } })
      expect.part("config.advanced.threads: ", err.message)
    end
    managed({ isolation = "thread", advanced = { threads = 3 } }, function(pm)
      local before = tasks_of_process()
      pm:spawn(WORKER)
      pm:spawn(WORKER)
      local made = tasks_of_process() - before
      -- One looks after the slices, one makes ready for the next.
      assert.is_true(made >= 3 and made <= 5, made .. " threads")
    end)()
  end)
end)

describe("threads that come and go", function()
  local COUNT <const>, ROUNDS <const> = SANITIZED and 100 or 1000, SANITIZED and 5 or 10

  local function memory()
    collectgarbage()
    return math.tointeger(proc.read("/proc/self/statm"):match "^%d+ (%d+)") * 4096
  end

  for _, kind in ipairs { "thread", "worker" } do
    it("leave nothing behind: " .. kind, managed({ isolation = kind }, function(pm)
      local count = kind == "thread" and COUNT or COUNT // 10
      local function round()
        local starts = {}
        for i = 1, count do
          starts[i] = titan.go(pm.spawn, pm, WORKER, { startup_timeout = "1m" })
        end
        for _, start in ipairs(starts) do
          assert.equal(3, start:await():add(1, 2))
        end
        assert.is_true(pm:stop_all())
      end
      local settling <const> = ROUNDS // 2 -- until then the heap still grows by its gaps
      for _ = 1, settling do
        round()
      end
      local fds, tasks, used = proc.fds(), tasks_of_process(), memory()
      for _ = settling + 1, ROUNDS do
        round()
      end
      assert.equal(fds, proc.fds())
      assert.equal(tasks, tasks_of_process())
      if not SANITIZED then
        local more_each = (memory() - used) // ((ROUNDS - settling) * count)
        assert.is_true(more_each < 4096, more_each .. " bytes more for each that was there")
      end
    end))
  end
end)

-- What is stuck in C goes on as long as its process: so that is a program of its own.
describe("a thread that is stuck", function()
  local HEAD <const> = [[
    local titan = require "titan"
    package.path = %q
    titan_config = function(config)
      config.logs = { format = "none" }
      config.advanced = config.advanced or {}
      config.advanced.interrupt_grace = 40
      config.restart_policy = { max_restarts = 9, window = "1h", delay = 1,
        backoff = { type = "fixed", initial = 1, jitter = 0 } }
      return config
    end
  ]]

  local function run(kind, text)
    local script = HEAD:format(package.path) .. ("local KIND = %q\n"):format(kind) .. text
    local program = proc.script(script)
    local code = program:await()
    return code, program:stdout(), program:stderr()
  end

  local function in_task(fn)
    return function()
      titan.run(fn)
    end
  end

  for _, kind in ipairs { "worker", "thread" } do
    for _, how in ipairs { "bomb", "finalizer" } do
      it("is given up, and another takes its place: " .. kind .. ", " .. how, in_task(function()
        local code, out, complaints = run(kind, ("local HOW = %q"):format(how) .. [[

          local pm = titan.manager(titan_config { isolation = KIND, advanced = { threads = 2 } })
          local worker = pm:spawn("workers.contained", { name = "victim" })
          local beside = pm:spawn("workers.contained", { name = "beside" })
          local _, err = pcall(function() worker:with { timeout = 20 }:loop(HOW) end)
          print(err.code)
          local info
          repeat
            titan.sleep(5)
            info = pm:get_process_info "victim"
          until info.restart_count == 1 and info.status == "running"
          print(worker:add(1, 2), beside:add(3, 4))
          print(pm:stop_all())
        ]])
        assert.equal(0, code, complaints)
        expect.part({ "timeout\n", "3\t7\n", "true\n" }, out)
      end))
    end

    it("does not keep the program: " .. kind, in_task(function()
      local code, out, complaints = run(kind, [[
        local pm = titan.manager(titan_config { isolation = KIND })
        local victim = pm:spawn("workers.contained", { name = "victim",
          options = { finalizer = true } })
        local stuck = pm:spawn("workers.contained", { name = "stuck" })
        titan.go(function()
          print(pcall(stuck.loop, stuck, "bomb"))
        end)
        repeat
          titan.sleep(1)
        until pm:get_process_info("stuck").activity.running
        local ids = { victim:__id(), stuck:__id() }
        print(pm:stop_all(10))
        for _, id in ipairs(ids) do
          local info = pm:get_process_info(id)
          print(info.name, info.status, info.last_error.message)
        end
      ]])
      assert.equal(0, code, complaints)
      expect.part({ "false\tworker_lost: ", "nil\ttimeout: " }, out)
      for _, name in ipairs { "victim", "stuck" } do
        assert.truthy(out:find(name .. "\t%l+\t[^\n]*was given up"), out)
      end
    end))

    it("does not keep a manager that is closed: " .. kind, in_task(function()
      local code, out, complaints = run(kind, [[
        local pm = titan.manager(titan_config { isolation = KIND })
        for _, how in ipairs { "bomb", "pcall", "plain" } do
          local worker = pm:spawn("workers.contained", { name = how })
          worker.async:loop(how)
          repeat
            titan.sleep(1)
          until pm:get_process_info(how).activity.running
        end
        print "out"
        os.exit(5, true)
      ]])
      assert.equal(5, code, complaints)
      expect.part("out\n", out)
    end))
  end
end)
