local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local PATIENT <const> = "workers.patient"
local DEADLY <const> = "fault_workers.deadly"

-- Often, and with all the time it takes: what does not answer in time is no part of the test.
local OFTEN <const> = { interval = 20, timeout = "20s", failures = 2 }

-- For those that do not answer.
local IMPATIENT <const> = { interval = 10, timeout = 30, failures = 2, hang_after = 60 }

local ALWAYS_AGAIN <const> = { delay = 1, max_restarts = 1000,
  backoff = { initial = 1, jitter = 0 } }

---@param health table?
---@return table config
local function config(health)
  return { restart_policy = ALWAYS_AGAIN, monitoring = { health_check = health or OFTEN } }
end

---@param base table
---@param changes table
---@return table
local function with(base, changes)
  local copy = {}
  for _, layer in ipairs { base, changes } do
    for key, value in pairs(layer) do
      copy[key] = value
    end
  end
  return copy
end

local function health_of(pm, worker)
  return pm:get_process_info(worker:__id()).health
end

-- Waits until a check has ended that began after now.
local function await_check(pm, worker, found)
  return proc.await("a check", function()
    local health = health_of(pm, worker)
    return health.last_check and found(health) and health
  end)
end

describe("a health check", function()
  it("of a class that says nothing of its health is a ping", managed(config(), function(pm)
    local next_change = proc.listen(pm, "health:change")
    local worker = pm:spawn("workers.echo", { name = "plain" })
    local change = next_change()
    assert.same({ "plain", worker:__id(), "unknown", "healthy" },
      { change.name, change.id, change.from, change.to })
    assert.equal(pm:get_process_info("plain").pid, change.pid)
    assert.equal("running", change.process.status)
    local health = health_of(pm, worker)
    assert.equal("healthy", health.status)
    assert.equal(worker:__id(), health.id)
    assert.equal(0, health.failures)
    assert.is_number(health.latency)
    assert.is_true(health.last_check >= health.since)
    assert.is_nil(health.reason)
    assert.is_nil(health.details)
    assert.equal(0, pm:get_process_info("plain").activity.calls)
  end))

  for says, details in pairs { well = { status = "healthy", queue_depth = 3 }, yes = false,
    nothing = false, huge = false } do
    it("is passed by a method that says " .. says, managed(config(), function(pm)
      local worker = pm:spawn(PATIENT, { options = { says = says } })
      local health = worker:__health()
      assert.equal("healthy", health.status)
      assert.same(details or nil, health.details)
    end))
  end

  for says, reason in pairs {
    ill = "how: the disk is full",
    no = "how: no connection",
    idiom = "how: no such file",
    nonsense = "how: it answered neither true or false nor a table with a status",
    statusless = "how: its answer has no status (a string: healthy, degraded or unhealthy)",
    unknown = "how: its status is none of healthy, degraded and unhealthy: splendid",
    raise = "the probe broke",
  } do
    it("fails when a method says " .. says, managed(config(), function(pm)
      local next_change = proc.listen(pm, "health:change")
      local next_critical = proc.listen(pm, "health:critical")
      local worker = pm:spawn(PATIENT, { options = { says = says } })
      local pid = pm:get_process_info(worker:__id()).pid
      local change, critical = next_change(), next_critical()
      assert.equal("unhealthy", change.to)
      assert.equal("unknown", change.from)
      assert.equal(2, change.failures)
      expect.part(reason, change.reason)
      assert.equal(change.reason, critical.reason)
      if says == "ill" then
        assert.same({ status = "unhealthy", message = "the disk is full", free = 0 },
          change.details)
      end
      -- It is told, and nothing else happens to it.
      await_check(pm, worker, function(health)
        return health.failures > 10
      end)
      assert.equal(pid, pm:get_process_info(worker:__id()).pid)
    end))
  end

  it("finds a degraded worker at once, which is not a failed one", managed(config(), function(pm)
    local next_change = proc.listen(pm, "health:change")
    pm:on("health:critical", function()
      error "not critical"
    end)
    local worker = pm:spawn(PATIENT, { options = { says = "so_so" } })
    local change = next_change()
    assert.same({ "unknown", "degraded", 0, "how: the cache is cold" },
      { change.from, change.to, change.failures, change.reason })
    assert.equal(7, change.details.misses)
    local asked = worker:count()
    proc.await("more checks", function()
      return worker:count() > asked + 5
    end)
    assert.equal("degraded", health_of(pm, worker).status)
    assert.equal("degraded", pm:health().status)
  end))

  it("takes the worst of several methods", managed(config(), function(pm)
    local worker = pm:spawn(PATIENT, { options = { says = "well", calm = "so_so" } })
    local health = worker:__health()
    assert.equal("degraded", health.status)
    assert.equal("other: the cache is cold", health.reason)
    assert.equal(7, health.details.misses)
  end))

  it("is critical once, until it was healthy again", managed(config(), function(pm)
    local next_change = proc.listen(pm, "health:change")
    local criticals = 0
    pm:on("health:critical", function()
      criticals = criticals + 1
    end)
    local worker = pm:spawn(PATIENT)
    local function becomes(says, verdict)
      worker:say(says)
      assert.equal(verdict, next_change().to)
    end
    assert.equal("healthy", next_change().to)
    becomes("ill", "unhealthy")
    becomes("so_so", "degraded")
    becomes("ill", "unhealthy")
    becomes("well", "healthy")
    assert.equal(1, criticals)
    local recovered = health_of(pm, worker)
    assert.is_nil(recovered.reason)
    assert.equal(0, recovered.failures)
    becomes("no", "unhealthy")
    becomes("well", "healthy")
    assert.equal(2, criticals)
  end))

  it("fails when a method does not end, and asks it again", managed(config {
    interval = 10, timeout = 40, failures = 2, hang_after = "20s",
  }, function(pm)
    local next_change = proc.listen(pm, "health:change")
    local worker = pm:spawn(PATIENT, { options = { says = "wait" } })
    local change
    repeat
      change = next_change()
    until change.to == "unhealthy" and change.reason:find "how: "
    assert.equal("how: no answer within 40 ms", change.reason)
    worker:say "well"
    repeat until next_change().to == "healthy"
    assert.equal(0, pm:get_process_info(worker:__id()).restart_count)
  end))

  it("does not hold up the end of a worker", managed(config(), function(pm)
    local worker = pm:spawn(PATIENT, { options = { says = "wait" }, shutdown_timeout = "20s" })
    proc.await("the check", function()
      return worker:count() > 0
    end)
    assert.is_true(pm:stop_process(worker:__id()))
  end))

  it("is no call that a worker's exit could lose", managed(config(), function(pm)
    local next_stop = proc.listen(pm, "process:stop")
    local worker = pm:spawn(PATIENT, { options = { says = "wait" } })
    proc.await("the check", function()
      return worker:count() > 0
    end)
    worker:leave()
    assert.equal(0, next_stop().exit_code)
  end))

  it("cannot be called from outside when it is private", managed(config(), function(pm)
    local worker = pm:spawn(PATIENT, { name = "patient" })
    worker:__health()
    expect.error("not_public", worker.how, worker)
    assert.is_true(worker:other())
    local caller = pm:spawn "workers.caller"
    expect.error("not_public", caller.call, caller, "patient", "how")
  end))
end)

describe("a worker that is busy", function()
  local IN_BETWEEN <const> = { interval = 10, timeout = 20, failures = 5, hang_after = 1000 }

  it("with one call after the other is left alone", managed(config(IN_BETWEEN), function(pm)
    local worker = pm:spawn(PATIENT)
    worker:__health()
    pm:on("health:critical", function(critical)
      error("critical: " .. critical.reason)
    end)
    local calls, busy = {}, 0
    for i = 1, 150 do
      calls[i] = worker.async:burn(20)
    end
    local watch = titan.go(function()
      repeat
        local health = await_check(pm, worker, function(health)
          return health.busy
        end)
        busy = busy + 1
        expect.part("busy: ", health.reason)
        await_check(pm, worker, function(next_health)
          return next_health.last_check ~= health.last_check or calls[150]:done()
        end)
      until busy == 5
    end)
    for _, call in ipairs(calls) do
      assert.equal(20, call:await())
    end
    watch:await()
    assert.equal(0, pm:get_process_info(worker:__id()).restart_count)
    await_check(pm, worker, function(health)
      return not health.busy and health.status == "healthy"
    end)
  end))

  it("with one call for long is left alone until hang_after", managed(config {
    interval = 10, timeout = 20, failures = 2, hang_after = "1h",
  }, function(pm)
    local worker = pm:spawn(DEADLY)
    local pid = pm:get_process_info(worker:__id()).pid
    worker.async:spin():ignore()
    local last = 0
    for _ = 1, 6 do
      local health = await_check(pm, worker, function(health)
        return health.busy and health.last_check > last
      end)
      assert.not_equal("unhealthy", health.status)
      expect.part("busy: it has been running spin for", health.reason)
      last = health.last_check
    end
    assert.equal(pid, pm:get_process_info(worker:__id()).pid)
    pm:stop_process(worker:__id(), 0)
  end))
end)

describe("a worker that hangs", function()
  it("is killed and started again", managed(config(IMPATIENT), function(pm)
    local next_crash = proc.listen(pm, "process:crash")
    local next_restart = proc.listen(pm, "process:restart")
    local worker = pm:spawn(DEADLY, { name = "victim" })
    local pid = pm:get_process_info("victim").pid
    local err = expect.error("worker_lost", worker.spin, worker)
    expect.part({ "did not answer 2 health checks and made no progress for", "running spin for",
      "it was killed" }, err.message)
    local report = next_crash()
    assert.equal(pid, report.pid)
    assert.equal("SIGKILL", report.exit_signal)
    assert.equal("spin", report.running.method)
    expect.part("did not answer 2 health checks", report.error.message)
    expect.part("did not answer 2 health checks", tostring(report))
    local info = next_restart()
    assert.not_equal(pid, info.pid)
    assert.equal("healthy", await_check(pm, worker, function(health)
      return health.status == "healthy"
    end).status)
    assert.equal("again", worker:echo "again")
  end))

  it("is only told of when restart_hung is off", managed(config(with(IMPATIENT,
    { restart_hung = false })), function(pm)
    local next_critical = proc.listen(pm, "health:critical")
    local worker = pm:spawn(DEADLY)
    local pid = pm:get_process_info(worker:__id()).pid
    worker.async:spin():ignore()
    expect.part("no answer and no progress: it has been running spin for", next_critical().reason)
    await_check(pm, worker, function(health)
      return health.failures > 10
    end)
    assert.equal(pid, pm:get_process_info(worker:__id()).pid)
    pm:stop_process(worker:__id(), 0)
  end))

  it("is found when it is stopped, and when it goes on", managed(config(with(IMPATIENT,
    { restart_hung = false })), function(pm)
    local next_change = proc.listen(pm, "health:change")
    local worker = pm:spawn(DEADLY)
    repeat until next_change().to == "healthy"
    pm:kill(worker:__id(), "SIGSTOP")
    local change
    repeat
      change = next_change()
    until change.to == "unhealthy"
    assert.equal("no answer: it is stopped (SIGSTOP)", change.reason)
    assert.equal("unhealthy", pm:health().status)
    pm:kill(worker:__id(), "SIGCONT")
    repeat until next_change().to == "healthy"
    assert.equal("here", worker:echo "here")
    assert.equal("healthy", health_of(pm, worker).status)
  end))

  it("is started again when it is stopped", managed(config(IMPATIENT), function(pm)
    local next_crash = proc.listen(pm, "process:crash")
    local worker = pm:spawn(DEADLY)
    expect.error("worker_lost", worker.freeze, worker)
    expect.part({ "made no progress for", "it is stopped (SIGSTOP)" },
      next_crash().error.message)
    proc.await("the restart", function()
      local ok, said = pcall(worker.echo, worker, "again")
      return ok and said
    end)
  end))
end)

describe("health", function()
  it("of all is the worst of each", managed(config(), function(pm)
    local empty = pm:health()
    assert.same({ "healthy", {} }, { empty.status, empty.checks })
    assert.is_number(empty.timestamp)
    local good = pm:spawn(PATIENT, { name = "good" })
    local bad = pm:spawn(PATIENT, { name = "bad", options = { says = "ill" } })
    proc.await("bad health", function()
      return pm:health().status == "unhealthy"
    end)
    good:__health()
    local all = pm:health()
    assert.equal("healthy", all.checks.good.status)
    assert.equal(good:__id(), all.checks.good.id)
    assert.equal("unhealthy", all.checks.bad.status)
    assert.is_true(all.checks.bad.failures >= 2)
    expect.part("the disk is full", all.checks.bad.reason)
    bad:say "well"
    proc.await("good health", function()
      return pm:health().status == "healthy"
    end)
  end))

  it("that nobody knows yet is no bad one", managed(config { interval = "1h" }, function(pm)
    local worker = pm:spawn(PATIENT, { name = "new", options = { says = "so_so" } })
    local all = pm:health()
    assert.equal("healthy", all.status)
    assert.equal("unknown", all.checks.new.status)
    assert.is_nil(all.checks.new.last_check)
    assert.equal(0, worker:count())
  end))

  it("is looked at when it is asked for", managed(config { interval = "1h" }, function(pm)
    local worker = pm:spawn(PATIENT, { name = "new", options = { says = "so_so" } })
    local a, b = titan.go(worker.__health, worker), titan.go(worker.__health, worker)
    assert.equal("degraded", a:await().status)
    assert.equal("degraded", b:await().status)
    assert.equal("degraded", worker:__health().status)
    assert.equal(1, worker:count())
  end))

  it("of a worker that dies while it is asked is unknown", managed(config { interval = "1h" },
    function(pm)
      local worker = pm:spawn(PATIENT, { options = { says = "wait" } })
      local health = titan.go(worker.__health, worker)
      proc.await("the check", function()
        return worker:count() == 1
      end)
      pm:stop_process(worker:__id(), 0)
      assert.equal("unknown", health:await().status)
      assert.equal("unknown", worker:__health().status)
    end))

  it("is waited for no longer when the manager is closed", managed(config { interval = "1h" },
    function(pm)
      local worker = pm:spawn(PATIENT, { options = { says = "wait" } })
      local health = titan.go(worker.__health, worker)
      proc.await("the check", function()
        return worker:count() == 1
      end)
      pm:close()
      assert.equal("unknown", health:await().status)
    end))

  it("of a worker that is killed while it is asked is bad", managed({
    restart_policy = { delay = "1h" }, monitoring = { health_check = { interval = "1h" } },
  }, function(pm)
    local worker = pm:spawn(PATIENT, { name = "victim", options = { says = "wait" } })
    local health = titan.go(worker.__health, worker)
    proc.await("the check", function()
      return worker:count() == 1
    end)
    pm:kill "victim"
    assert.equal("it has crashed: was killed by SIGKILL", health:await().reason)
  end))

  it("of one that has crashed and waits for its restart is bad", managed({
    restart_policy = { delay = "1h" }, monitoring = { health_check = { interval = "1h" } },
  }, function(pm)
    local next_crash = proc.listen(pm, "process:crash")
    pm:spawn(DEADLY, { name = "victim" }):leave(3)
    next_crash()
    local all = pm:health()
    assert.equal("unhealthy", all.status)
    assert.equal("it has crashed: exited with code 3", all.checks.victim.reason)
  end))

  it("begins anew with a restart", managed(config(), function(pm)
    local next_critical = proc.listen(pm, "health:critical")
    local worker = pm:spawn(PATIENT, { name = "patient" })
    worker:say "ill"
    next_critical()
    local next_change = proc.listen(pm, "health:change")
    pm:kill "patient"
    local change = next_change()
    assert.same({ "unknown", "healthy" }, { change.from, change.to })
    assert.equal(1, change.process.restart_count)
    worker:say "ill"
    next_critical()
  end))
end)

describe("health options", function()
  it("of the spawn go over the class's, key by key, and those over the config's", managed(
    config { interval = 10, failures = 2 }, function(pm)
      local next_change = proc.listen(pm, "health:change")
      local worker = pm:spawn(PATIENT, { name = "once", options = { says = "ill" },
        health = { failures = 1 } })
      assert.equal(1, next_change().failures)
      worker:__destroy()
      local never = pm:spawn(PATIENT, { name = "never", health = false })
      local often = pm:spawn(PATIENT, { name = "often" })
      proc.await("checks of the other", function()
        return often:count() > 5
      end)
      assert.equal(0, never:count())
      assert.equal("healthy", never:__health().status)
      proc.await("more checks of the other", function()
        return often:count() > 10
      end)
      assert.equal(1, never:count())
    end))

  it("of a class hold", managed(config { interval = "1h" }, function(pm)
    local directory = proc.directory { ["ill.lua"] = [[
      return require "titan".process {
        name = "ill", health = { interval = 1, failures = 3 },
        methods = { how = { health_check = true, function() return false end } },
      }
    ]] }
    local next_change = proc.listen(pm, "health:change")
    pm:spawn(directory .. "/ill.lua")
    local change = next_change()
    assert.equal(3, change.failures)
    assert.equal("how: it answered false", change.reason)
    proc.remove(directory)
  end))
end)
