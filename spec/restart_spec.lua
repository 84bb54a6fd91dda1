local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local restarts = require "support.restarts"
local titan = require "titan"

proc.forget_leaks()

local PHOENIX <const> = "fault_workers.phoenix"

-- A test with a manager that restarts soon, or by another policy.
local function restarting(policy, fn)
  if not fn then
    policy, fn = restarts.soon(), policy
  end
  return managed({ restart_policy = policy }, fn)
end

describe("a worker that crashes", function()
  local directory

  before_each(function()
    directory = proc.directory()
  end)

  after_each(function()
    proc.remove(directory)
  end)

  local function spawn(pm, options, more)
    options = options or {}
    options.directory = directory
    local spawned = more or {}
    spawned.name, spawned.options = spawned.name or "worker", options
    return pm:spawn(PHOENIX, spawned)
  end

  local function lives()
    return select(2, (proc.read(directory .. "/journal") or ""):gsub("worker starts\n", ""))
  end

  it("comes back under its id, its name and its proxies", restarting(function(pm)
    local worker = spawn(pm)
    local async, patient, echo = worker.async, worker:with { timeout = "10s" }, worker.echo
    local patient_async = patient.async
    assert.equal(1, async:count():await())
    local before = pm:get_process_info "worker"
    local after = restarts.crash(pm, "worker")
    assert.equal(before.id, after.id)
    assert.equal("worker", after.name)
    assert.not_equal(before.pid, after.pid)
    assert.is_false(proc.alive(before.pid))
    assert.equal(1, after.restart_count)
    assert.is_nil(after.end_time)
    assert.is_nil(after.exit_signal)
    assert.equal(worker, pm:discover "worker")
    assert.equal(before.id, worker:__id())
    assert.equal(after.pid, worker:pid())
    assert.equal(1, worker:count())
    assert.equal(2, async:count():await())
    assert.equal(3, patient:count())
    assert.equal(4, patient_async:count():await())
    assert.equal("kept", echo(worker, "kept"))
    assert.equal(2, restarts.crash(pm, "worker").restart_count)
    assert.equal(1, worker:count())
    assert.equal(1, #pm:get_all_processes())
  end))

  it("is told of: one crash each, then ready, then restart", restarting(function(pm)
    local told = {}
    for _, event in ipairs { "crash", "ready", "restart", "stop" } do
      pm:on("process:" .. event, function(info)
        told[#told + 1] = string.format("%s %s %d", event, info.name, info.pid)
      end)
    end
    local worker = spawn(pm)
    local pids = { pm:get_process_info(worker:__id()).pid }
    for life = 2, 3 do
      pids[life] = restarts.crash(pm, "worker").pid
    end
    pm:stop_process "worker"
    proc.await("the last event", function()
      return told[#told]:find "stop"
    end)
    assert.same({
      "ready worker " .. pids[1],
      "crash worker " .. pids[1], "ready worker " .. pids[2], "restart worker " .. pids[2],
      "crash worker " .. pids[2], "ready worker " .. pids[3], "restart worker " .. pids[3],
      "stop worker " .. pids[3],
    }, told)
  end))

  it("ends the calls under way, once", restarting(function(pm)
    local worker = spawn(pm)
    local ends = 0
    local calls = {}
    for i = 1, 10 do
      calls[i] = titan.go(function()
        local err = expect.error("worker_lost", worker.hang, worker)
        ends = ends + 1
        return err
      end)
    end
    restarts.crash(pm, "worker")
    for _, call in ipairs(calls) do
      local err = call:await()
      assert.equal("the worker was killed by SIGKILL in the middle of this call", err.message)
      assert.is_true(err.retryable)
      assert.equal("worker", err.process)
      assert.equal("hang", err.method)
    end
    assert.equal("alive", worker:echo "alive")
    assert.equal(10, ends)
  end))

  it("can be called again by whoever heard that it was lost", restarting(function(pm)
    local worker = spawn(pm)
    local call = titan.go(function()
      expect.error("worker_lost", worker.hang, worker)
      return proc.await("its return", function()
        local ok, pid = pcall(worker.pid, worker)
        return ok and pid
      end)
    end)
    local pid = worker:pid()
    pm:kill "worker"
    assert.not_equal(pid, call:await())
  end))

  it("says while it is down that it comes again", restarting(restarts.late(), function(pm)
    local worker = spawn(pm)
    local pid = worker:pid()
    local lost = worker.async:hang()
    pm:kill "worker"
    expect.error("worker_lost", lost.await, lost)
    for _, proxy in ipairs { worker, worker:with { timeout = 1000 } } do
      local err = expect.error("worker_lost", proxy.echo, proxy)
      assert.equal("the worker is down and to be started again: was killed by SIGKILL", err.message)
      assert.is_true(err.retryable)
    end
    local info = pm:get_process_info "worker"
    assert.equal("crashed", info.status)
    assert.equal("SIGKILL", info.exit_signal)
    assert.equal(0, info.restart_count)
    assert.equal("worker_lost", info.last_error.code)
    assert.equal("was killed by SIGKILL", info.last_error.message)
    assert.is_number(info.end_time)
    assert.is_nil(proc.stat(pid))
    local ok, err = pm:kill "worker"
    assert.is_nil(ok)
    assert.equal("destroyed", err.code)
  end))

  it("keeps its name while it is down", restarting(restarts.late(), function(pm)
    spawn(pm)
    pm:kill "worker"
    restarts.await_status(pm, "worker", "crashed")
    local err = expect.error("invalid_config", spawn, pm)
    expect.part('"worker" is the name of', err.message)
  end))

  it("too often is given up", restarting(restarts.soon { max_restarts = 2 }, function(pm)
    local next_crash = proc.listen(pm, "process:crash")
    local worker = spawn(pm)
    local id = worker:__id()
    restarts.crash(pm, "worker")
    restarts.crash(pm, "worker")
    pm:kill "worker"
    local info = restarts.await_status(pm, id, "crashed")
    local said = "given up after 2 restarts within 3600000 ms"
    expect.part({ "was killed by SIGKILL", said }, info.last_error.message)
    assert.equal(2, info.restart_count)
    local err = expect.error("worker_lost", worker.echo, worker)
    expect.part({ "the worker is gone", said }, err.message)
    assert.is_nil(pm:discover "worker")
    expect.part(said, (next_crash() and next_crash() and next_crash()).error.message)
    spawn(pm) -- the name is free
  end))

  it("is given up for the crashes of its window, not of its life", restarting(restarts.soon {
    max_restarts = 1, window = 100,
  }, function(pm)
    local worker = spawn(pm)
    for life = 1, 3 do
      assert.equal(life, restarts.crash(pm, "worker").restart_count)
      titan.sleep(110) -- the window, from before the crash on
    end
    assert.equal("alive", worker:echo "alive")
  end))

  it("by a clean exit between calls is stopped", restarting(function(pm)
    local next_stop = proc.listen(pm, "process:stop")
    local worker = spawn(pm)
    local id = worker:__id()
    worker:leave(0)
    next_stop()
    local info = pm:get_process_info(id)
    assert.equal("stopped", info.status)
    assert.equal(0, info.restart_count)
    expect.error("destroyed", worker.echo, worker)
  end))

  it("by an exit code comes back", restarting(function(pm)
    local next_restart = proc.listen(pm, "process:restart")
    local worker = spawn(pm)
    worker:leave(3)
    next_restart()
    assert.equal("alive", worker:echo "alive")
  end))

  it("stays away when restarts are not enabled", restarting({ enabled = false }, function(pm)
    local worker = spawn(pm)
    local id = worker:__id()
    pm:kill "worker"
    local info = restarts.await_status(pm, id, "crashed")
    assert.equal("was killed by SIGKILL", info.last_error.message)
    expect.part("the worker is gone", expect.error("worker_lost", worker.echo, worker).message)
  end))

  describe("and is stopped", function()
    local function crashed(pm)
      local worker = spawn(pm)
      pm:kill "worker"
      restarts.await_status(pm, "worker", "crashed")
      return worker
    end

    it("while it is down ends at once", restarting(restarts.late(), function(pm)
      local worker = crashed(pm)
      local id = worker:__id()
      assert.is_true(pm:stop_process "worker")
      assert.equal("stopped", pm:get_process_info(id).status)
      expect.error("destroyed", worker.echo, worker)
      assert.is_nil(pm:discover "worker")
      local another = spawn(pm)
      assert.not_equal(id, another:__id())
      assert.equal("alive", another:echo "alive")
    end))

    it("while it is down is not started again", restarting(restarts.soon { delay = 20 },
      function(pm)
        local worker = crashed(pm)
        pm:on("process:ready", function()
          error "it was started again"
        end)
        pm:stop_process "worker"
        titan.sleep(60) -- the backoff, and more
        local info = pm:get_process_info(worker:__id())
        assert.equal("stopped", info.status)
        assert.equal(0, info.restart_count)
      end))

    it("by stop_all while it is down ends at once", restarting(restarts.late(), function(pm)
      local worker = crashed(pm)
      assert.is_true(pm:stop_all())
      assert.equal("stopped", pm:get_process_info(worker:__id()).status)
    end))

    it("by whoever lost a call ends for good", restarting(restarts.soon { delay = 0 },
      function(pm)
        local worker = spawn(pm)
        local id = worker:__id()
        local stop = titan.go(function()
          pcall(worker.hang, worker)
          return pm:stop_process "worker"
        end)
        pm:kill "worker"
        assert.is_true(stop:await())
        assert.equal("stopped", pm:get_process_info(id).status)
      end))

    it("while it starts again ends for good", restarting(function(pm)
      local worker = spawn(pm, { plan = { "live", "wait" } })
      pm:kill "worker"
      restarts.await_status(pm, "worker", "starting")
      assert.is_true(pm:stop_process("worker", 0))
      local info = pm:get_process_info(worker:__id())
      assert.equal("stopped", info.status)
      assert.equal(1, info.restart_count)
    end))
  end)

  describe("again while it starts", function()
    it("by a signal is started once more", restarting(function(pm)
      local crashes = 0
      pm:on("process:crash", function()
        crashes = crashes + 1
      end)
      local worker = spawn(pm, { plan = { "live", "wait", "live" } })
      pm:kill "worker"
      proc.await("the second life", function()
        return lives() == 2
      end)
      local info = restarts.crash(pm, "worker")
      assert.equal(2, info.restart_count)
      assert.equal(2, crashes)
      assert.equal("alive", worker:echo "alive")
    end))

    it("by an error is started once more, by its own backoff", restarting(function(pm)
      local next_crash = proc.listen(pm, "process:crash")
      local worker = spawn(pm, { plan = { "live", "fail", "fail", "live" } })
      local info = restarts.crash(pm, "worker")
      assert.equal(3, info.restart_count)
      assert.equal(4, lives())
      assert.equal("was killed by SIGKILL", next_crash().error.message)
      for _ = 1, 2 do
        local report = next_crash()
        expect.part("no luck", report.error.message)
        expect.part("the egg is cold", report.stderr)
      end
      assert.equal("alive", worker:echo "alive")
    end))

    it("too often is given up, each crash told once", restarting(restarts.soon {
      max_restarts = 2,
    }, function(pm)
      local next_crash = proc.listen(pm, "process:crash")
      local worker = spawn(pm, { plan = { "live", "fail" } })
      local id = worker:__id()
      pm:kill "worker"
      assert.equal("was killed by SIGKILL", next_crash().error.message)
      assert.is_nil(next_crash().error.message:find "given up")
      expect.part({ "no luck", "given up after 2 restarts" }, next_crash().error.message)
      assert.equal("failed", pm:get_process_info(id).status)
      assert.equal(3, lives())
    end))
  end)

  it("before it was ever ready is not tried again", restarting(function(pm)
    for _, beginning in ipairs { "fail", "kill" } do
      expect.error("spawn_failed", spawn, pm, { plan = { beginning } })
    end
    assert.equal(2, lives())
    assert.is_nil(pm:discover "worker")
  end))
end)
