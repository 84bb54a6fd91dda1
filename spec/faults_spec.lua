local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

-- Every way to die in the middle of a call, and what is said of it.
local DEATHS <const> = {
  exit_0 = { reason = "exited with code 0", code = 0 },
  exit_3 = { reason = "exited with code 3", code = 3 },
  sigabrt = { reason = "was killed by SIGABRT", signal = "SIGABRT" },
  sigkill = { reason = "was killed by SIGKILL", signal = "SIGKILL" },
  sigsegv = { reason = "was killed by SIGSEGV", signal = "SIGSEGV" },
}

describe("a worker that dies in the middle of a call", function()
  for way, death in pairs(DEATHS) do
    it("by " .. way .. " fails the call and is reported", managed(function(pm)
      local next_crash = proc.listen(pm, "process:crash")
      local other = pm:spawn("fault_workers.deadly", { name = "other" })
      local worker = pm:spawn("fault_workers.deadly", { name = "victim" })
      worker:echo(1)
      pcall(worker.fail, worker)
      local hanging = worker.async:hang()
      local err = expect.error("worker_lost", worker.die, worker, way, "these were its last words")
      assert.equal("the worker " .. death.reason .. " in the middle of this call", err.message)
      assert.equal("victim", err.process)
      assert.equal("die", err.method)
      assert.is_true(err.retryable)
      expect.error("worker_lost", hanging.await, hanging)

      local report = next_crash()
      assert.equal("victim", report.name)
      assert.equal(worker:__id(), report.id)
      assert.equal(death.reason, report.reason)
      assert.equal(death.code, report.exit_code)
      assert.equal(death.signal, report.exit_signal)
      assert.equal("worker_lost", report.error.code)
      assert.equal("die", report.running.method)
      assert.equal(2, report.in_flight)
      assert.equal(4, report.calls)
      assert.equal(1, report.errors)
      local last = report.last_calls
      assert.same({ "die", "hang", "fail", "echo" },
        { last[1].method, last[2].method, last[3].method, last[4].method })
      assert.is_nil(last[1].took_ms)
      assert.is_true(last[3].failed)
      assert.is_number(last[4].took_ms)
      assert.equal("these were its last words\n", report.stderr)

      local info = pm:get_process_info(worker:__id())
      assert.equal("crashed", info.status)
      assert.equal(death.code, info.exit_code)
      assert.equal(death.signal, info.exit_signal)
      local late = expect.error("worker_lost", worker.echo, worker)
      assert.equal("the worker is gone: " .. death.reason, late.message)
      assert.is_nil(pm:discover "victim")
      assert.equal("alive", other:echo "alive")
    end))
  end
end)

describe("a worker that leaves by itself", function()
  it("is stopped, not crashed, after a clean exit without calls", managed(function(pm)
    local next_stop = proc.listen(pm, "process:stop")
    pm:on("process:crash", function()
      error "not a crash"
    end)
    local worker = pm:spawn("fault_workers.deadly", { name = "leaver" })
    worker:leave(0)
    local info = next_stop()
    assert.equal("stopped", info.status)
    assert.equal(0, info.exit_code)
    assert.is_nil(info.last_error)
    expect.error("destroyed", worker.echo, worker)
  end))

  it("has crashed when its exit code is not 0", managed(function(pm)
    local next_crash = proc.listen(pm, "process:crash")
    pm:spawn("fault_workers.deadly", { name = "leaver" }):leave(3)
    local report = next_crash()
    assert.equal(3, report.exit_code)
    assert.equal(0, report.in_flight)
    assert.is_nil(report.running)
  end))
end)

describe("answers", function()
  -- Blocks the loop, so that nothing is read meanwhile.
  local function block_until(condition)
    repeat until condition()
  end

  it("given before the death are delivered", managed(function(pm)
    local directory = proc.directory()
    local mark = directory .. "/mark"
    local worker = pm:spawn "fault_workers.deadly"
    local pid = pm:get_process_info(worker:__id()).pid
    local answers = {}
    pm:kill(worker:__id(), "SIGSTOP")
    proc.await_stopped(pid)
    for i = 1, 1000 do
      answers[i] = worker.async:echo(i)
    end
    local hanging = worker.async:hang()
    local marking = worker.async:mark(mark)
    titan.sleep(10) -- they are sent
    pm:kill(worker:__id(), "SIGCONT")
    block_until(function()
      return luv.fs_stat(mark)
    end)
    assert.is_false(answers[1]:done())
    pm:kill(worker:__id())
    block_until(function()
      return not proc.alive(pid)
    end)
    for i = 1, 1000 do
      assert.equal(i, answers[i]:await())
    end
    expect.error("worker_lost", hanging.await, hanging)
    pcall(marking.await, marking)
    proc.remove(directory)
  end))

  it("that were under way at the death are lost, even if half is here", managed(function(pm)
    local directory = proc.directory()
    local mark = directory .. "/mark"
    local next_crash = proc.listen(pm, "process:crash")
    local worker = pm:spawn "fault_workers.deadly"
    local pid = pm:get_process_info(worker:__id()).pid
    local call = worker.async:answer_largely(mark)
    titan.sleep(10) -- it is sent
    block_until(function()
      return luv.fs_stat(mark)
    end)
    luv.kill(pid, "sigkill")
    local err = expect.error("worker_lost", call.await, call)
    assert.equal("the worker was killed by SIGKILL in the middle of this call", err.message)
    assert.equal("was killed by SIGKILL", next_crash().error.message)
    proc.remove(directory)
  end))

  it("end 10 000 outstanding calls exactly once", managed(function(pm)
    local worker = pm:spawn "fault_workers.deadly"
    local ends, futures = 0, {}
    for i = 1, 10000 do
      futures[i] = titan.go(function()
        local _, err = pcall(worker.hang, worker)
        ends = ends + 1
        return err
      end)
    end
    proc.await("10 000 calls under way", function()
      return pm:get_process_info(worker:__id()).activity.in_flight == 10000
    end)
    pm:kill(worker:__id())
    for i = 1, 10000 do
      local err = futures[i]:await()
      if err.code ~= "worker_lost"
        or err.message ~= "the worker was killed by SIGKILL in the middle of this call" then
        error(err)
      end
    end
    assert.equal(10000, ends)
  end))
end)

describe("a worker that does not read", function()
  local function freeze(pm, options)
    local worker = pm:spawn("fault_workers.deadly", options)
    local frozen = worker.async:freeze()
    proc.await_stopped(pm:get_process_info(worker:__id()).pid)
    return worker, frozen:ignore()
  end

  it("lets calls time out, and answers again when it goes on", managed(function(pm)
    local worker, frozen = freeze(pm)
    local impatient = worker:with { timeout = 20 }
    local err = expect.error("timeout", impatient.echo, impatient)
    assert.equal("no answer within 20 ms", err.message)
    assert.equal("echo", err.method)
    assert.is_true(err.retryable)
    pm:kill(worker:__id(), "SIGCONT")
    assert.equal("again", worker:echo "again")
    frozen:await()
  end))

  it("counts calls that timed out as outstanding until they are answered",
    managed({ limits = { outstanding = 20 } }, function(pm)
      local worker = freeze(pm)
      local impatient = worker:with { timeout = 20 }
      for _ = 2, 20 do
        expect.error("timeout", impatient.echo, impatient)
      end
      local err = expect.error("overloaded", worker.echo, worker)
      expect.part("20 calls have no answer yet", err.message)
      pm:kill(worker:__id(), "CONT")
      proc.await("an answer", function()
        return pcall(worker.echo, worker)
      end)
    end))

  it("gets no more than so many bytes queued", managed({
    limits = { frame = "1GB" },
  }, function(pm)
    local worker = freeze(pm)
    worker.async:echo(("x"):rep(1 << 20):rep(257)):ignore()
    local err = expect.error("overloaded", worker.echo, worker)
    expect.part("the other side reads too slowly", err.message)
    assert.is_true(pm:stop_process(worker:__id(), 0))
  end))

  it("because its code never waits is no better", managed(function(pm)
    local worker = pm:spawn("fault_workers.deadly", { name = "busy" })
    local call = worker.async:spin()
    local impatient = worker:with { timeout = 20 }
    expect.error("timeout", impatient.echo, impatient)
    local info = pm:get_process_info "busy"
    assert.equal("spin", info.activity.running.method)
    local _, err = pm:stop_process("busy", 50)
    assert.equal("timeout", err.code)
    expect.error("worker_lost", call.await, call)
  end))

  it("is killed when stopping takes too long", managed(function(pm)
    local worker = freeze(pm, { name = "frozen" })
    local pid = pm:get_process_info("frozen").pid
    local call = worker.async:echo()
    local ok, err = pm:stop_process("frozen", 50)
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.equal("frozen", err.process)
    expect.error("worker_lost", call.await, call)
    assert.is_nil(proc.stat(pid))
    expect.error("destroyed", worker.echo, worker)
  end))
end)

describe("a worker that closes its connections", function()
  it("is given up, and killed if it lives on", managed(function(pm)
    local next_crash = proc.listen(pm, "process:crash")
    local worker = pm:spawn("fault_workers.foul", { name = "mute" })
    local pid = pm:get_process_info("mute").pid
    local call = worker.async:close()
    proc.await("the end of the connection", function()
      return pm:get_process_info("mute").status == "stopping"
    end)
    local refused = expect.error("worker_lost", worker.echo, worker)
    assert.equal("the worker has closed its connection", refused.message)
    local lost = expect.error("worker_lost", call.await, call)
    expect.part("closed its connection, lived on and was killed", lost.message)
    local report = next_crash()
    assert.equal("SIGKILL", report.exit_signal)
    expect.part("closed its connection", report.error.message)
    assert.is_nil(proc.stat(pid))
  end))
end)
