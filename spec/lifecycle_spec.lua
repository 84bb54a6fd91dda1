local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local STEADY <const> = "fault_workers.steady"

describe("a worker", function()
  local directory, journal

  before_each(function()
    directory = proc.directory()
    journal = directory .. "/journal"
  end)

  after_each(function()
    proc.remove(directory)
  end)

  local function read_journal()
    return proc.read(journal) or ""
  end

  local function spawn(pm, options)
    options = options or {}
    return pm:spawn(STEADY, {
      name = options.name or "worker", shutdown_timeout = options.shutdown_timeout,
      dependencies = options.dependencies,
      options = { journal = journal, start = options.start, stop = options.stop },
    })
  end

  describe("that is stopped", function()
    it("runs its hooks and finishes its calls, and takes no new ones", managed(function(pm)
      local next_stop = proc.listen(pm, "process:stop")
      local worker = spawn(pm)
      local call = worker.async:wait_for(directory .. "/go")
      local stop = titan.go(pm.stop_process, pm, "worker")
      proc.await("the hooks", function()
        return read_journal() == "worker says goodbye\nworker closes the door\n"
      end)
      assert.equal("stopping", pm:get_process_info("worker").status)
      local late = expect.error("shutting_down", worker.echo, worker)
      assert.is_true(late.retryable)
      assert.is_false(stop:done())
      io.open(directory .. "/go", "w"):close()
      assert.equal("done", call:await())
      assert.is_true(stop:await())

      local info = next_stop()
      assert.equal("stopped", info.status)
      assert.equal(0, info.exit_code)
      assert.is_nil(proc.stat(info.pid))
      local gone = expect.error("destroyed", worker.echo, worker)
      assert.is_false(gone.retryable)
      assert.is_nil(pm:discover "worker")
      assert.equal("stopped", pm:get_process_info(worker:__id()).status)
    end))

    it("by its proxy ends like any other", managed(function(pm)
      local worker = spawn(pm)
      assert.is_true(worker:__destroy())
      expect.error("destroyed", worker.echo, worker)
      expect.part("closes the door", read_journal())
    end))

    it("runs the other hooks when one fails", managed(function(pm)
      local worker = spawn(pm, { stop = "fail" })
      assert.is_true(pm:stop_process "worker")
      assert.equal("worker says goodbye\nworker closes the door\n", read_journal())
      local info = pm:get_process_info(worker:__id())
      expect.part({ "on_shutdown method bye_1 failed", "on purpose" }, info.stderr_tail)
    end))

    it("is killed at the deadline when a hook does not end", managed(function(pm)
      local worker = spawn(pm, { stop = "wait" })
      local ok, err = pm:stop_process("worker", 50)
      assert.is_nil(ok)
      assert.equal("timeout", err.code)
      assert.equal("worker", err.process)
      assert.equal("worker says goodbye\n", read_journal())
      local info = pm:get_process_info(worker:__id())
      assert.equal("stopped", info.status)
      assert.equal("SIGKILL", info.exit_signal)
      assert.equal("timeout", info.last_error.code)
    end))

    it("is killed at the deadline of the config", managed({
      advanced = { graceful_shutdown_timeout = 50 },
    }, function(pm)
      spawn(pm, { stop = "wait" })
      local _, err = pm:stop_process "worker"
      assert.equal("timeout", err.code)
    end))

    it("is killed at its own deadline", managed(function(pm)
      spawn(pm, { stop = "wait", shutdown_timeout = "50ms" })
      local _, err = pm:stop_process "worker"
      assert.equal("timeout", err.code)
    end))

    it("is killed at once with a shutdown_timeout of 0", managed(function(pm)
      local worker = spawn(pm, { shutdown_timeout = 0 })
      local call = worker.async:wait_for(directory .. "/never")
      assert.is_true(pm:stop_process "worker")
      expect.error("worker_lost", call.await, call)
      assert.equal("", read_journal())
      local info = pm:get_process_info(worker:__id())
      assert.equal("stopped", info.status)
      assert.equal("SIGKILL", info.exit_signal)
    end))

    it("again is killed at the sooner of two deadlines", managed(function(pm)
      spawn(pm, { stop = "wait" })
      local patient = titan.go(pm.stop_process, pm, "worker", "1h")
      proc.await("the hook", function()
        return read_journal() ~= ""
      end)
      assert.is_nil((pm:stop_process("worker", 20)))
      local ok, err = patient:await()
      assert.is_nil(ok)
      assert.equal("timeout", err.code)
    end))

    it("while it starts does not become ready", managed(function(pm)
      local starting = titan.go(spawn, pm, { start = "wait" })
      proc.await("init", function()
        return read_journal() ~= ""
      end)
      assert.equal("starting", pm:get_process_info("worker").status)
      assert.is_true(pm:stop_process "worker")
      local err = expect.error("shutting_down", starting.await, starting)
      assert.equal("worker", err.process)
      assert.is_nil(pm:discover "worker")
    end))

    it("before it was forked is never forked", managed(function(pm)
      local starting = titan.go(spawn, pm)
      assert.is_true(pm:stop_process "worker")
      expect.error("shutting_down", starting.await, starting)
      assert.equal(1, #proc.children()) -- the zygote
    end))
  end)

  it("that nobody knows is not stopped", managed(function(pm)
    local worker = spawn(pm)
    local ok, err = pm:stop_process "wroker"
    assert.is_nil(ok)
    assert.equal("destroyed", err.code)
    expect.part('did you mean "worker"?', err.message)
    assert.is_true(pm:stop_process(worker:__id()))
    ok, err = pm:stop_process(worker:__id())
    assert.is_nil(ok)
    assert.equal("destroyed", err.code)
    expect.error("invalid_config", pm.stop_process, pm, 5)
    expect.error("invalid_config", pm.stop_process, pm, "worker", "soon")
  end))

  it("has nothing on its stdin", function()
    titan.run(function()
      local program = proc.script([[
        local pm = require "titan".manager { logs = { format = "none" } }
        print(pm:spawn("fault_workers.steady"):read_stdin())
      ]], { input = true })
      assert.equal(0, program:await())
      assert.equal("\t/dev/null\n", program:stdout())
    end)
  end)

  it("leads a process group of its own", managed(function(pm)
    spawn(pm)
    local pid = pm:get_process_info("worker").pid
    assert.equal(pid, proc.stat(pid).group)
  end))

  describe("with children of its own takes them along", function()
    local function check(how, fn)
      it(how, managed(function(pm)
        local worker = spawn(pm)
        local first, second = worker:have_children()
        assert.is_true(proc.alive(first) and proc.alive(second))
        fn(pm, worker)
        proc.await_gone(first, second)
      end))
    end

    check("when it is stopped", function(pm)
      assert.is_true(pm:stop_process "worker")
    end)
    check("when it is killed", function(pm)
      assert.is_true(pm:kill "worker")
    end)
    check("when a signal ends it alone", function(pm)
      assert.is_true(pm:kill("worker", "SIGTERM"))
    end)
    check("when it crashes", function(_, worker)
      expect.error("worker_lost", worker.exit, worker, 3)
    end)
    check("when it leaves", function(_, worker)
      expect.error("worker_lost", worker.exit, worker, 0)
    end)
    check("when it is killed by somebody else", function(pm)
      require "luv".kill(pm:get_process_info("worker").pid, "sigkill")
    end)
  end)

  describe("among others", function()
    it("is stopped after those that depend on it", managed(function(pm)
      spawn(pm, { name = "a" })
      spawn(pm, { name = "b", dependencies = { "a" } })
      spawn(pm, { name = "c", dependencies = { "b", "a" } })
      assert.is_true(pm:stop_all())
      assert.equal("c says goodbye\nc closes the door\nb says goodbye\nb closes the door\n"
        .. "a says goodbye\na closes the door\n", read_journal())
    end))

    it("that has to be killed is named, and all are stopped", managed(function(pm)
      spawn(pm, { name = "good" })
      spawn(pm, { name = "bad", stop = "wait" })
      local ok, err = pm:stop_all(500)
      assert.is_nil(ok)
      assert.equal("timeout", err.code)
      assert.equal("bad", err.process)
      expect.part("good closes the door", read_journal())
      assert.equal(1, #proc.children())
    end))

    it("cannot be spawned while all are stopped", managed(function(pm)
      spawn(pm, { name = "bad", stop = "wait" })
      local stopping = titan.go(pm.stop_all, pm, 100)
      expect.error("shutting_down", spawn, pm, { name = "late" })
      stopping:await()
      assert.equal("in time", spawn(pm, { name = "later" }):echo "in time")
    end))
  end)

  describe("is sent", function()
    it("signals by name and by number", managed(function(pm)
      local worker = spawn(pm)
      for _, signal in ipairs { "SIGUSR1", "USR1", 10 } do
        local awaiting = worker.async:await_signal "sigusr1"
        proc.await("the handler", function()
          return proc.catches(pm:get_process_info("worker").pid, 10)
        end)
        assert.is_true(pm:kill("worker", signal))
        assert.equal("sigusr1", awaiting:await())
      end
    end))

    it("no signals that do not exist", managed(function(pm)
      spawn(pm)
      for _, signal in ipairs { "SIGNOTHING", "sigusr1", "", 0, -9, 1000, 1.5, {}, true } do
        expect.error("invalid_config", pm.kill, pm, "worker", signal)
      end
      local ok, err = pm:kill("nobody", "SIGTERM")
      assert.is_nil(ok)
      assert.equal("destroyed", err.code)
    end))

    it("SIGKILL unless another signal is named", managed(function(pm)
      local next_crash = proc.listen(pm, "process:crash")
      local worker = spawn(pm)
      assert.is_true(pm:kill(worker:__id()))
      assert.equal("SIGKILL", next_crash().exit_signal)
      local ok, err = pm:kill(worker:__id())
      assert.is_nil(ok)
      assert.equal("destroyed", err.code)
    end))
  end)
end)
