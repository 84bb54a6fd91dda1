local expect = require "support.expect"
local managed = require "support.managed"
local shared = require "support.shared"
local tasks = require "titan.tasks"
local titan = require "titan"

local MOCKED <const> = "workers.mocked"

-- A call that is given up ends soon after.
local function await_left(worker)
  repeat
    titan.sleep(1)
  until worker:has_left()
end

-- What holds of real workers and of mock ones alike -------------------------------------------

for kind, testing in pairs { real = {}, mock = { use_mock_spawner = true } } do
  describe("a " .. kind .. " worker", function()
    local of_kind = shared { testing = testing }

    it("gives back what it is given, nils and all", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      assert.same({ n = 4, 1, nil, 2.5, nil }, table.pack(worker:echo(1, nil, 2.5, nil)))
      assert.equal("float", math.type(worker:echo(2.0)))
      assert.same({ n = 0 }, table.pack(worker:echo()))
    end))

    it("gets copies of tables and gives copies", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local given = { list = { 1, 2 } }
      local first, second = worker:keep(given), worker:keep(given)
      assert.is_nil(given.touched)
      assert.same({ list = { 1, 2 }, touched = true }, first)
      assert.is_not.equal(first, second)
    end))

    it("refuses what cannot travel, either way", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local err = expect.error("validation_failed", worker.echo, worker, 1, { deep = print })
      expect.part("argument 2", err.message)
      expect.part("deep", err.message)
      assert.equal("mocked", err.process)
      assert.equal("echo", err.method)
      err = expect.error("validation_failed", worker.leak, worker)
      expect.part("result 2: a function cannot travel", err.message)
      expect.part("options.deep", expect.error("invalid_config", pm.spawn, pm, MOCKED,
        { options = { deep = print } }).message)
    end))

    it("has the methods that are public, and says why others are not", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local err = expect.error("not_public", worker.secret, worker)
      assert.equal("secret is private; declare it with public = true to call it from outside",
        err.message)
      assert.equal("not_public: " .. err.message .. " (mocked.secret)", tostring(err))
      assert.equal("there is no method ecko; did you mean echo?",
        expect.error("method_not_found", worker.ecko, worker).message)
      expect.complaint("call the method with a colon: worker:echo(...)", worker.echo, 1)
      expect.part("cannot be written to", expect.error("invalid_config", function()
        worker.title = 1
      end).message)
    end))

    it("applies annotations, init and the options of its spawn", of_kind(function(pm)
      local options = { level = 3 }
      local worker = pm:spawn(MOCKED, { name = "second", options = options })
      assert.equal(8, worker:twice(4))
      assert.same({ 8, "second", 1, 3 }, { worker:own_twice(4) })
      assert.is_nil(options.seen)
    end))

    it("raises what the method raised, as it travels", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local err = expect.error("remote_error", worker.raise, worker, "it broke")
      assert.equal("it broke", err.message)
      assert.equal("mocked", err.process)
      assert.equal("raise", err.method)
      assert.is_string(err.traceback)
      err = expect.error("remote_error", worker.raise, worker, { message = "full", disk = 3 })
      assert.equal("full", err.message)
      assert.same({ message = "full", disk = 3 }, err.details)
    end))

    it("keeps to a deadline, and leaves what nobody waits for", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local hurried = worker:with { timeout = 5 }
      local err = expect.error("timeout", hurried.linger, hurried)
      assert.equal("no answer within 5 ms", err.message)
      assert.equal("mocked.linger", err.process .. "." .. err.method)
      await_left(worker)
    end))

    it("is called beside others, and given up", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local lingering = worker.async:linger()
      assert.same({ n = 2, "a", "b" }, titan.all { worker.async:echo "a", worker.async:echo "b" })
      assert.is_true(lingering:cancel())
      expect.error("cancelled", lingering.await, lingering)
      await_left(worker)
    end))

    it("is known by its name and its id", managed({ testing = testing }, function(pm)
      local worker = pm:spawn(MOCKED)
      local second = pm:spawn(MOCKED)
      assert.equal(worker, pm:discover "mocked")
      assert.equal(second, pm:discover "mocked-2")
      local info = pm:get_process_info(worker:__id())
      assert.same({ "mocked", "running", "1.2.3", 0 },
        { info.name, info.status, info.version, info.restart_count })
      assert.equal(2, #pm:get_all_processes())
      expect.part('"mocked" is the name of ' .. worker:__id() .. " already",
        expect.error("invalid_config", pm.spawn, pm, MOCKED, { name = "mocked" }).message)
      assert.equal("titan service mocked (running)", tostring(worker))
    end))

    it("is stopped, and then no more", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local id = worker:__id()
      local stopped, tell = tasks.promise()
      pm:on("process:stop", function(info)
        tell(true, info.status)
      end)
      local slow = worker.async:sleep(20)
      assert.is_true(pm:stop_process "mocked")
      assert.equal("slept", slow:await())
      assert.equal("stopped", stopped:await())
      assert.equal("the worker has been stopped",
        expect.error("destroyed", worker.echo, worker).message)
      local ok, err = pm:stop_process "mocked"
      assert.is_nil(ok)
      assert.equal("destroyed", err.code)
      assert.is_nil(pm:discover "mocked")
      assert.equal("stopped", pm:get_process_info(id).status)
    end))

    it("is killed when it takes too long to stop", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local slow = worker.async:linger()
      local late = titan.go(function()
        titan.sleep(1)
        return pcall(worker.echo, worker)
      end)
      local ok, err = pm:stop_process("mocked", 20)
      assert.is_nil(ok)
      assert.equal("timeout", err.code)
      expect.part("did not end in time and was killed", err.message)
      assert.equal("the worker was killed by SIGKILL in the middle of this call",
        expect.error("worker_lost", slow.await, slow).message)
      assert.equal("the worker is stopping", select(2, late:await()).message)
    end))

    it("runs its hooks after those who need it have gone", of_kind(function(pm)
      local told = pm:spawn(MOCKED, { name = "told" })
      pm:spawn(MOCKED, { name = "teller", dependencies = { "told" }, options = { tells = "told" } })
      assert.is_true(pm:stop_process "teller")
      assert.equal(1, told:__metrics().methods.echo.calls)
      pm:spawn(MOCKED, { name = "teller", dependencies = { "told" }, options = { tells = "told" } })
      assert.is_true(pm:stop_all())
      assert.is_nil(pm:discover "told")
    end))

    it("says why it did not start", of_kind(function(pm)
      local err = expect.error("spawn_failed", pm.spawn, pm, MOCKED,
        { options = { broken = true } })
      expect.part('worker "mocked" did not start: init broke', err.message)
      expect.part('there is no module "workers.mokced"; did you mean "workers.mocked"?',
        expect.error("spawn_failed", pm.spawn, pm, "workers.mokced").message)
      expect.part("options.tiemout: unknown key",
        expect.error("invalid_config", pm.spawn, pm, MOCKED, { tiemout = 1 }).message)
      expect.part('it depends on "nobody": no process with the id or name "nobody" is alive',
        expect.error("spawn_failed", pm.spawn, pm, MOCKED, { dependencies = { "nobody" } }).message)
      err = expect.error("startup_timeout", pm.spawn, pm, MOCKED,
        { name = "late", startup_timeout = 100, options = { rest = "1h" } })
      expect.part('worker "late" did not start: not ready within 100 ms', err.message)
      assert.is_nil(pm:discover "late")
    end))

    it("calls its dependencies and other services", of_kind(function(pm)
      pm:spawn(MOCKED, { name = "first" })
      local second = pm:spawn(MOCKED, { name = "second", dependencies = { one = "first" } })
      assert.equal(7, second:ask("first", "echo", 7))
      assert.equal(8, second:ask_later("first", "echo", 8))
      assert.equal(9, second:ask_dependency("one", "echo", 9))
      local err = expect.error("worker_lost", second.ask, second, "third", "echo")
      assert.equal('no service named "third" is running', err.message)
      err = expect.error("method_not_found", second.ask, second, "first", "ecko")
      assert.equal("first", err.process)
    end))

    it("counts its calls", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      worker:echo(1)
      worker:echo(2)
      pcall(worker.raise, worker, "no")
      local metrics = worker:__metrics()
      assert.same({ 3, 1, 0, 2 }, { metrics.calls, metrics.errors, metrics.in_flight,
        metrics.methods.echo.calls })
      assert.equal(3, metrics.latency.count)
      assert.equal(3, pm:get_process_info("mocked").metrics.calls)
      assert.equal(3, pm:get_metrics("mocked").calls)
    end))

    it("says how it is", of_kind(function(pm)
      assert.equal("healthy", pm:spawn(MOCKED):__health().status)
      local weak = pm:spawn(MOCKED, { name = "weak",
        options = { status = "degraded", reason = "it is cold" } })
      local health = weak:__health()
      assert.same({ "degraded", "how: it is cold" }, { health.status, health.reason })
      assert.equal("degraded", pm:health().status)
      assert.equal("degraded", pm:health().checks.weak.status)
      assert.equal(1, weak:__metrics().methods.how.calls)
    end))

    it("ends with its proxy", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      assert.is_true(worker:__destroy())
      expect.error("destroyed", worker.echo, worker)
    end))

    it("starts again when it has crashed, with the same proxy", managed({
      testing = testing, restart_policy = { enabled = true, delay = 1, backoff = { jitter = 0 } },
    }, function(pm)
      local worker = pm:spawn(MOCKED)
      local crashed, tell_crash = tasks.promise()
      local back, tell_back = tasks.promise()
      pm:on("process:crash", function(report)
        tell_crash(true, report)
      end)
      pm:on("process:restart", function(info)
        tell_back(true, info)
      end)
      local slow = worker.async:linger()
      worker:echo(1)
      assert.is_true(pm:kill "mocked")
      assert.equal("the worker was killed by SIGKILL in the middle of this call",
        expect.error("worker_lost", slow.await, slow).message)
      local report = crashed:await()
      assert.same({ "mocked", "was killed by SIGKILL", "worker_lost", 1 },
        { report.name, report.reason, report.error.code, report.in_flight })
      expect.part("crash of mocked (w1, ", tostring(report))
      local info = back:await()
      assert.same({ 1, "running" }, { info.restart_count, info.status })
      assert.same({ 2, "mocked", 1 }, { worker:own_twice(1) })
    end))

    it("is lost for good when nothing starts it again", of_kind(function(pm)
      local worker = pm:spawn(MOCKED)
      local crashed, tell = tasks.promise()
      pm:on("process:crash", tell)
      assert.is_true(pm:kill "mocked")
      crashed:await()
      assert.equal("the worker is gone: was killed by SIGKILL",
        expect.error("worker_lost", worker.echo, worker).message)
      assert.equal("crashed", pm:get_process_info(worker:__id()).status)
    end))
  end)

  describe("a " .. kind .. " pool", function()
    local of_kind = shared { testing = testing }

    local function pooled(options, fn)
      return of_kind(function(pm)
        local pool = pm:create_pool(MOCKED, options)
        fn(pool, pm)
        pool:destroy(0)
      end)
    end

    it("spreads calls over its workers", pooled({ size = 2, name = "two" }, function(pool, pm)
      assert.same({ "two", 2, 0, 0 }, { pool.name, pool.size, pool.active, pool.pending })
      local both = { pool.async:sleep(20), pool.async:sleep(20) }
      assert.equal(2, pool.active)
      assert.same({ n = 2, "slept", "slept" }, titan.all(both))
      assert.equal(pool, pm:discover "two")
      assert.is_table(pm:discover "two-1")
      assert.equal(5, pool:invoke("echo", { 5 }))
      assert.equal(3, pool:metrics().calls)
    end))

    it("lets calls wait, and no more than may", pooled({
      size = 1, max_concurrency = 1, max_queue_size = 2,
    }, function(pool)
      local order = {}
      local first = pool.async:sleep(30)
      local function note(name, priority)
        return titan.go(function()
          pool:with({ priority = priority }):echo(name)
          order[#order + 1] = name
        end)
      end
      local low, high = note("low", 0), note("high", 5)
      assert.equal(2, pool.pending)
      local err = expect.error("overloaded", pool.echo, pool, 1)
      assert.equal("2 calls wait for a worker (max_queue_size)", err.message)
      titan.all { first, low, high }
      assert.same({ "high", "low" }, order)
      assert.equal(1, pool:metrics().rejected)
    end))

    it("counts waiting as part of the deadline", pooled({ size = 1, max_concurrency = 1 },
      function(pool)
        local first = pool.async:linger()
        local hurried = pool:with { timeout = 5 }
        assert.equal("no worker of the pool was free within 5 ms",
          expect.error("timeout", hurried.echo, hurried).message)
        first:cancel()
        first:ignore()
        assert.equal(1, pool:echo(1))
      end))

    it("says what there is not", pooled({ size = 1 }, function(pool)
      expect.error("not_public", pool.secret, pool)
      assert.equal("there is no method ecko; did you mean echo?",
        expect.error("method_not_found", pool.ecko, pool).message)
      expect.part("pool.sise: unknown key", expect.error("invalid_config", function()
        titan.manager({ testing = testing }):create_pool(MOCKED, { sise = 1 })
      end).message)
    end))

    it("grows and shrinks", pooled({ size = 1 }, function(pool)
      assert.is_true(pool:scale(3))
      assert.equal(3, pool.size)
      assert.is_true(pool:scale(2))
      assert.equal(2, pool.size)
      assert.is_true(pool:reload())
      assert.equal(2, pool.size)
      expect.error("invalid_config", pool.scale, pool, 0)
    end))

    it("is drained", pooled({ size = 1 }, function(pool)
      local slow = pool.async:sleep(10)
      local drained = titan.go(pool.drain, pool)
      assert.equal("the pool takes no new calls: it has been drained",
        expect.error("shutting_down", pool.echo, pool).message)
      drained:await()
      assert.is_true(slow:done())
    end))

    it("is destroyed, and then no more", of_kind(function(pm)
      local pool = pm:create_pool(MOCKED, { size = 1, max_concurrency = 1 })
      local first = pool.async:linger()
      local waiting = pool.async:echo(1)
      assert.is_true(pool:destroy(5))
      expect.error("destroyed", waiting.await, waiting)
      expect.error("worker_lost", first.await, first)
      assert.equal("the pool has been stopped",
        expect.error("destroyed", pool.echo, pool).message)
    end))

    it("makes a call of an idempotent method again", managed({
      testing = testing, restart_policy = { enabled = true, delay = 1 },
    }, function(pm)
      local pool = pm:create_pool(MOCKED, { size = 2, name = "two" })
      local work, risky = pool.async:work(50), pool.async:sleep "1h"
      titan.sleep(10)
      pm:kill "two-1"
      pm:kill "two-2"
      assert.equal("done", work:await())
      expect.error("worker_lost", risky.await, risky)
      pool:destroy(0)
    end))
  end)
end

-- What only the mock can --------------------------------------------------------------------

-- A test body with a mock spawner, its manager and a clock.
local function mocked(config, fn)
  if not fn then
    config, fn = {}, config
  end
  config.testing = { use_mock_spawner = true }
  return managed(config, function(pm)
    local clock <close> = titan.testing.virtual_clock()
    fn(pm.spawner, pm, clock)
    pm:stop_all(0)
  end)
end

describe("titan.testing.mock_spawner", function()
  it("makes no process", mocked(function(_, pm)
    pm:spawn(MOCKED)
    assert.is_nil(pm:get_process_info("mocked").pid)
    assert.equal("mock", pm:get_process_info("mocked").isolation)
    local pid = require("luv").os_getpid()
    local children = io.open(string.format("/proc/%d/task/%d/children", pid, pid))
    assert.equal("", children:read "a")
    children:close()
  end))

  it("records the calls that reached a worker", mocked(function(spawner, pm)
    local worker = pm:spawn(MOCKED)
    worker:echo("a", nil, { 1 })
    pcall(worker.raise, worker, "no")
    pcall(worker.nonsense, worker)
    assert.equal(2, #spawner.calls)
    local first, second = spawner.calls[1], spawner.calls[2]
    assert.same({ "mocked", "echo", { n = 3, "a", nil, { 1 } }, { n = 3, "a", nil, { 1 } } },
      { first.process, first.method, first.args, first.results })
    assert.is_nil(first.error)
    assert.same({ "raise", "no" }, { second.method, second.error.message })
    assert.is_nil(second.results)
    spawner:reset()
    assert.same({}, spawner.calls)
  end))

  it("gives the answers a test has written down", mocked(function(spawner, pm)
    spawner:on("mocked", "echo"):returns("first", nil, 3):times(1)
    local worker = pm:spawn(MOCKED)
    spawner:on("mocked", "echo"):calls(function(self, value)
      return self.name, value + 1
    end):times(2)
    spawner:on("mocked", "twice"):raises("overloaded", "no room", { details = { left = 0 } })
    assert.same({ n = 3, "first", nil, 3 }, table.pack(worker:echo(0)))
    assert.same({ "mocked", 2 }, { worker:echo(1) })
    assert.same({ "mocked", 3 }, { worker:echo(2) })
    assert.same({ 4 }, { worker:echo(4) })
    local err = expect.error("overloaded", worker.twice, worker, 1)
    assert.same({ "no room", { left = 0 }, true, "mocked", "twice" },
      { err.message, err.details, err.retryable, err.process, err.method })
    spawner:on("mocked", "twice"):returns(1)
    assert.equal(1, worker:twice(5))
    spawner:reset()
    assert.equal(10, worker:twice(5))
  end))

  it("answers after a time on the clock", mocked(function(spawner, pm, clock)
    local worker = pm:spawn(MOCKED)
    spawner:on("mocked", "echo"):returns("late"):after "10s"
    local patient, hurried = worker.async:echo(), worker:with({ timeout = "5s" }).async:echo()
    clock:advance "5s"
    assert.equal("no answer within 5000 ms", expect.error("timeout", hurried.await,
      hurried).message)
    assert.is_false(patient:done())
    clock:advance "5s"
    assert.equal("late", patient:await())
  end))

  it("answers for the services that workers call", mocked(function(spawner, pm)
    local asking = pm:spawn(MOCKED)
    pm:spawn(MOCKED, { name = "backend" })
    spawner:on("backend", "echo"):returns "scripted"
    assert.equal("scripted", asking:ask("backend", "echo"))
  end))

  it("answers for every worker of a pool", mocked(function(spawner, pm)
    spawner:on("two", "echo"):returns "any"
    local pool = pm:create_pool(MOCKED, { size = 2, name = "two" })
    spawner:on("two-2", "echo"):returns "the second"
    local answers = { pool:echo(), pool:echo() }
    table.sort(answers)
    assert.same({ "any", "the second" }, answers)
  end))

  it("refuses answers that would never be given, or make no sense", mocked(function(spawner, pm)
    pm:spawn(MOCKED)
    expect.part('mocked 1.2.3 has no such method; did you mean "echo"?',
      expect.error("invalid_config", spawner.on, spawner, "mocked", "ecko").message)
    spawner:on("later", "twise"):returns(1)
    expect.part('did you mean "twice"?',
      expect.error("invalid_config", pm.spawn, pm, MOCKED, { name = "later" }).message)
    local answer = spawner:on("mocked", "echo")
    expect.part('on("mocked", "echo").raises: unknown code full',
      expect.error("invalid_config", answer.raises, answer, "full", "no").message)
    expect.part('on("mocked", "echo").calls: expected a function',
      expect.error("invalid_config", answer.calls, answer, 1).message)
    expect.part('on("mocked", "echo").times',
      expect.error("invalid_config", answer.times, answer, -1).message)
    answer:returns(1)
    expect.part("says already what happens",
      expect.error("invalid_config", answer.returns, answer, 2).message)
    expect.part("mock_spawner.speed: unknown key",
      expect.error("invalid_config", titan.testing.mock_spawner, { speed = 1 }).message)
  end))

  it("lets a worker crash, which comes back when its policy says", mocked({
    restart_policy = { enabled = true, delay = "10s", max_restarts = 2, window = "1h",
      backoff = { initial = "30s", factor = 2 } },
  }, function(spawner, pm, clock)
    local worker, reports, restarts = pm:spawn(MOCKED), {}, 0
    pm:on("process:crash", function(report)
      reports[#reports + 1] = report
    end)
    pm:on("process:restart", function()
      restarts = restarts + 1
    end)
    local slow = worker.async:linger()
    spawner:crash("mocked", "ran out of memory")
    assert.equal("the worker ran out of memory in the middle of this call",
      expect.error("worker_lost", slow.await, slow).message)
    assert.equal("the worker is down and to be started again: ran out of memory",
      expect.error("worker_lost", worker.echo, worker).message)
    assert.equal("crashed", pm:get_process_info("mocked").status)
    assert.equal("unhealthy", pm:health().status)
    clock:advance(9999)
    assert.same({ 1, 0 }, { #reports, restarts })
    clock:advance(1)
    assert.equal(1, restarts)
    assert.equal(1, worker:echo(1))
    spawner:crash "mocked"
    clock:advance "29s"
    expect.error("worker_lost", worker.echo, worker)
    clock:advance "1s"
    assert.equal(2, worker:echo(2))
    spawner:crash "mocked"
    clock:advance "1h"
    assert.equal("the worker is gone: was killed by SIGKILL; given up after 2 restarts within "
      .. "3600000 ms (restart_policy)", expect.error("worker_lost", worker.echo, worker).message)
    assert.same({ 3, 2 }, { #reports, restarts })
    expect.error("destroyed", spawner.crash, spawner, "mocked")
  end))

  it("stops one that is to come back", mocked({
    restart_policy = { enabled = true, delay = "10s" },
  }, function(spawner, pm, clock)
    local worker = pm:spawn(MOCKED)
    spawner:crash "mocked"
    expect.part("has crashed already",
      expect.error("invalid_config", spawner.crash, spawner, "mocked").message)
    assert.is_true(pm:stop_process "mocked")
    clock:advance "1m"
    expect.error("destroyed", worker.echo, worker)
  end))

  it("ends what a worker has begun together with it", mocked(function(spawner, pm, clock)
    local worker = pm:spawn(MOCKED)
    worker:start_loop()
    clock:advance "10m"
    assert.equal(10, worker:count_turns())
    spawner:crash "mocked"
    assert.same({ true, 0 }, { clock:run_until_idle() })
  end))

  it("checks the health of a worker when it is asked", mocked(function(spawner, pm, clock)
    local worker, changes = pm:spawn(MOCKED), {}
    pm:on("health:change", function(change)
      changes[#changes + 1] = change.from .. " " .. change.to
    end)
    assert.equal("healthy", worker:__health().status)
    spawner:on("mocked", "how"):returns(false, "no connection")
    assert.equal("how: no connection", worker:__health().reason)
    clock:run_until_idle()
    assert.same({ "unknown healthy", "healthy unhealthy" }, changes)
    assert.equal("unhealthy", pm:health().status)
    assert.same({}, spawner.calls)
    spawner:on("mocked", "how"):returns(true):after "1h"
    local slow = titan.go(worker.__health, worker)
    clock:advance "5s"
    expect.part("how: it raised: no answer within 5000 ms", slow:await().reason)
  end))

  it("fails a pool that has no worker left", mocked(function(spawner, pm, clock)
    local pool, failed = pm:create_pool(MOCKED, { size = 1, max_concurrency = 1 }), nil
    pm:on("pool:failed", function(event)
      failed = event
    end)
    local lost, waiting = pool.async:linger(), pool.async:echo(1)
    spawner:crash "mocked-1"
    expect.error("worker_lost", lost.await, lost)
    expect.part("the pool has no worker left: was killed by SIGKILL",
      expect.error("worker_lost", waiting.await, waiting).message)
    expect.part("the pool has no worker left",
      expect.error("worker_lost", pool.echo, pool).message)
    clock:run_until_idle()
    assert.equal("mocked", failed.pool)
  end))

  it("keeps calls under way from nothing when the clock moves", mocked(function(_, pm, clock)
    local worker = pm:spawn(MOCKED, { timeout = false })
    local call = worker.async:sleep "2h"
    clock:advance "1h"
    assert.is_false(call:done())
    clock:advance "1h"
    assert.equal("slept", call:await())
    assert.equal(7200000, worker:__metrics().methods.sleep.latency.max)
  end))

  it("takes a class that was declared in the test itself", mocked(function(_, pm)
    local class = titan.process { name = "inline", methods = {
      add = { public = true, function(_, a, b) return a + b end },
    } }
    assert.equal(3, pm:spawn(class):add(1, 2))
  end))

  it("has no supervisors, and says so", mocked(function(_, pm)
    expect.part("the mock spawner has no supervisors",
      expect.error("invalid_config", pm.create_supervisor, pm, {}).message)
    expect.part("no workflow", expect.error("invalid_config", pm.workflow, pm).message)
    expect.part("can only be killed", expect.error("invalid_config", pm.kill, pm, "x",
      "SIGTERM").message)
  end))

  it("belongs to one manager, or to none", function()
    titan.run(function()
      local spawner = titan.testing.mock_spawner()
      local worker = spawner:spawn(MOCKED)
      assert.equal(1, worker:echo(1))
      spawner:close()
      assert.equal(spawner, require("titan.testing").mock_spawner and spawner)
      local module = titan.for_root({}, { [titan.tokens.SPAWNER] = spawner })
      assert.equal(spawner, module:get(titan.tokens.MANAGER).spawner)
      local other = titan.for_root({}, { [titan.tokens.SPAWNER] = spawner })
      expect.part("belongs to another manager",
        expect.error("invalid_config", other.get, other, titan.tokens.MANAGER).message)
    end)
  end)

  it("is not loaded before it is asked for", function()
    local program = require "support.program"
    assert.is_table(program)
    local code = [[
      local titan = require "titan"
      for name in pairs(package.loaded) do
        assert(not name:find "^titan%.testing" and name ~= "titan.root", name)
      end
      assert(titan.testing == require "titan.testing")
      assert(not package.loaded["titan.testing.spawner"])
      print "lazy"
    ]]
    local file = io.popen(string.format("%s -e '%s' 2>&1", os.getenv "TITAN_LUA", code))
    assert.equal("lazy\n", file:read "a")
    file:close()
  end)
end)
