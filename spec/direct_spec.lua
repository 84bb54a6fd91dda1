--- Calls between workers on threads of one process, which go from state to state.

local expect = require "support.expect"
local managed = require "support.managed"
local titan = require "titan"

-- A test with two callers of that isolation, on two native threads.
local function with_callers(isolation, fn)
  return managed({ isolation = isolation, advanced = { threads = 2 } }, function(pm)
    fn(pm, pm:spawn("workers.caller", { name = "a" }), pm:spawn("workers.caller", { name = "b" }))
  end)
end

-- Whether the manager has seen the call: one that goes directly it has not.
local function is_relayed(pm, caller, service)
  pm:spawn("workers.gate", { name = service })
  local pending = caller.async:call(service, "pass")
  while pm:discover(service):count() == 0 do
    titan.sleep(0)
  end
  pm:discover(service):open()
  pending:await()
end

for _, isolation in ipairs { "thread", "worker" } do
  describe("between workers of isolation " .. isolation .. " a call", function()
    it("brings values there and back", with_callers(isolation, function(pm, a)
      pm:spawn "workers.echo"
      local sent = table.pack(1, 1.0, nil, "a\0b", { 1, { x = {} }, [5] = true }, nil)
      for _ = 1, 3 do
        assert.same(sent, table.pack(a:call("echo", "echo", table.unpack(sent, 1, sent.n))))
      end
      assert.equal(1 << 20, a:call("echo", "length", ("x"):rep(1 << 20)))
      assert.equal(300, #a:all("echo", 300))
      is_relayed(pm, a, "gate")
    end))

    it("brings errors back as they are", with_callers(isolation, function(pm, a)
      pm:spawn "workers.failing"
      pm:spawn "workers.visible"
      local failure = a:failure("failing", "with_error", "rate_limited", false)
      assert.equal("rate_limited", failure.code)
      assert.equal("not now", failure.message)
      assert.same({ left = 3 }, failure.details)
      assert.equal("failing", failure.process)
      assert.equal("with_error", failure.method)
      assert.equal("method_not_found", a:failure("visible", "ad").code)
      assert.equal("not_public", a:failure("visible", "secret", 1, 2).code)
    end))

    it("goes to oneself, and both ways at once", with_callers(isolation, function(pm, a)
      pm:spawn("workers.echo")
      assert.equal("home", a:call("a", "call", "echo", "echo", "home"))
      assert.equal(7, a:call("b", "call", "a", "call", "b", "call", "echo", "echo", 7))
    end))

    it("streams, as far as it is read", with_callers(isolation, function(pm)
      local reader = pm:spawn("workers.streaming", { name = "reader" })
      local source = pm:spawn("workers.streaming", { name = "source" })
      assert.same({ 500500, 1000 }, { reader:sum("source", "count", nil, 1000) })
      assert.same({ 55, 10 }, { reader:sum("source", "endless", 10) })
      source:await_closed(2)
      local n, code = reader:failure("source", "failing", "1h", 3)
      assert.same({ 3, "rate_limited" }, { n, code })
    end))

    it("is cancelled with the call that made it", with_callers(isolation, function(pm, a)
      local gate = pm:spawn "workers.gate"
      local hasty = a:with { timeout = 50 }
      expect.error("timeout", hasty.call, hasty, "gate", "pass")
      while gate:count() > 0 do
        titan.sleep(0)
      end
      assert.equal(1, gate:count_given_up())
    end))

    it("has no more time than the one it is part of", with_callers(isolation, function(pm, a)
      local gate = pm:spawn "workers.gate"
      local hasty = a:with { timeout = 100 }
      expect.error("timeout", hasty.call, hasty, "b", "call", "gate", "pass")
      while gate:count() > 0 do
        titan.sleep(0)
      end
      assert.equal(1, gate:count_given_up())
    end))

    it("is given up when its caller is killed", with_callers(isolation, function(pm, a)
      local gate = pm:spawn "workers.gate"
      local pending = a.async:call("gate", "pass")
      while gate:count() == 0 do
        titan.sleep(0)
      end
      pm:kill "a"
      expect.error("worker_lost", pending.await, pending)
      while gate:count() > 0 do
        titan.sleep(0)
      end
      assert.equal(1, gate:count_given_up())
    end))

    it("ends with the worker it is made to", with_callers(isolation, function(pm, a)
      local failure = a:failure("b", "run", "os.exit(3)")
      assert.equal("worker_lost", failure.code)
      assert.equal("the worker exited with code 3 in the middle of this call", failure.message)
      assert.equal("b", failure.process)
      assert.equal("run", failure.method)
      local gate = pm:spawn "workers.gate"
      local pending = a.async:failure("gate", "pass")
      while gate:count() == 0 do
        titan.sleep(0)
      end
      pm:kill "gate"
      assert.equal("the worker was killed by SIGKILL in the middle of this call",
        pending:await().message)
      assert.equal("worker_lost", a:failure("gate", "pass").code)
    end))

    it("is finished by one that stops, and the next is refused", with_callers(isolation,
      function(pm, a)
        local gate = pm:spawn "workers.gate"
        local passing = a.async:call("gate", "rest", "100ms")
        local held = a.async:call("gate", "pass", "held")
        while gate:count() == 0 do
          titan.sleep(0)
        end
        gate:open()
        local stopped = titan.go(gate.__destroy, gate)
        assert.equal("shutting_down", a:failure("gate", "count").code)
        passing:await()
        assert.equal("held", held:await())
        stopped:await()
        assert.equal("worker_lost", a:failure("gate", "count").code)
      end))

    it("finds who has the name now", with_callers(isolation, function(pm, a)
      for i = 1, 3 do
        local gate = pm:spawn("workers.caller", { name = "renewed" })
        assert.equal(i, a:call("renewed", "run", "return " .. i))
        gate:__destroy()
        assert.equal("worker_lost", a:failure("renewed", "run", "").code)
      end
    end))

    it("reaches a worker of another kind by the manager", with_callers(isolation, function(pm, a)
      pm:spawn("workers.echo", { name = "far", isolation = "process" })
      pm:spawn("workers.caller", { name = "away", isolation = "process" })
      pm:spawn("workers.echo", { isolation = isolation == "thread" and "worker" or "thread" })
      assert.equal("there", a:call("far", "echo", "there"))
      assert.equal("here", a:call("echo", "echo", "here"))
      assert.equal("all", a:call("away", "call", "b", "call", "far", "echo", "all"))
    end))
  end)
end

it("many states call each other while some are killed", managed({
  isolation = "thread", advanced = { threads = 2 },
}, function(pm)
  local states, running = {}, {}
  for i = 1, 100 do
    states[i] = pm:spawn("workers.caller", { name = "s" .. i })
  end
  for i = 1, 100 do
    running[i] = states[i].async:run(string.format([[
      local titan = require "titan"
      math.randomseed(%d)
      local answered = 0
      for n = 1, 50 do
        local target = titan.service("s" .. math.random(100))
        local ok, err = pcall(target.run, target, "return 'alive'")
        if ok then
          assert(err == "alive")
          answered = answered + 1
        else
          assert(err.code == "worker_lost" or err.code == "shutting_down"
            or err.code == "destroyed", tostring(err))
        end
      end
      return answered
    ]], i))
  end
  for i = 1, 100, 10 do
    pm:kill("s" .. i)
  end
  for i = 1, 100 do
    if i % 10 == 1 then
      pcall(running[i].await, running[i])
    else
      assert(running[i]:await() > 0)
    end
  end
end))
