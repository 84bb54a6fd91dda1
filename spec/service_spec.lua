local expect = require "support.expect"
local managed = require "support.managed"
local system = require "support.system"
local titan = require "titan"

-- A test with a worker that calls others.
local function with_caller(config, fn)
  if not fn then
    config, fn = {}, config
  end
  return managed(config, function(pm)
    fn(pm, pm:spawn "workers.caller")
  end)
end

describe("titan.service", function()
  it("calls another worker, with any values", with_caller(function(pm, caller)
    pm:spawn "workers.echo"
    local sent = table.pack(1, 1.0, nil, "a\0b", { 1, { x = {} }, [5] = true }, -0.0, nil)
    assert.same(sent, table.pack(caller:call("echo", "echo", table.unpack(sent, 1, sent.n))))
    assert.same({ n = 0 }, table.pack(caller:call("echo", "echo")))
    assert.equal("integer 1, float 0x1p+0", caller:call("echo", "shown", 1, 1.0))
    assert.equal(1 << 20, #caller:call("echo", "letters", 1 << 20))
    assert.equal(1 << 20, caller:call("echo", "length", ("x"):rep(1 << 20)))
  end))

  it("knows services by their names and ids", with_caller(function(pm, caller)
    pm:spawn("workers.echo", { name = "parrot" })
    assert.equal(1, caller:call("parrot", "calls"))
    pm:spawn "workers.named"
    pm:spawn "workers.named"
    assert.equal("a-named-class-2", caller:call("a-named-class-2", "name"))
  end))

  it("calls those that came later, and those that came back", with_caller(function(pm, caller)
    assert.equal("worker_lost", caller:failure("echo", "calls").code)
    for _ = 1, 2 do
      local echo = pm:spawn "workers.echo"
      assert.equal(1, caller:call("echo", "calls"))
      echo:__destroy()
    end
  end))

  it("keeps many calls apart", with_caller(function(pm, caller)
    pm:spawn "workers.echo"
    local results = caller:all("echo", 1000)
    assert.equal(1000, #results)
    for i = 1, 1000 do
      assert(results[i] == i)
    end
  end))

  it("is for the inside of workers", managed(function()
    expect.part("use pm:discover(name)",
      expect.error("invalid_config", titan.service, "echo").message)
  end))

  it("wants a name", with_caller(function(_, caller)
    for code, said in pairs { ["nil"] = "nil", ["5"] = "number 5", ['""'] = 'string ""' } do
      local err = expect.error("invalid_config", caller.run, caller,
        "return require('titan').service(" .. code .. ")")
      assert.equal("titan.service: expected the name of a service, given " .. said, err.message)
    end
  end))
end)

describe("an error of another service", function()
  it("arrives as it is", with_caller(function(pm, caller)
    pm:spawn "workers.failing"
    local failure = caller:failure("failing", "with_error", "rate_limited", false)
    assert.is_true(failure.is_error)
    assert.equal("rate_limited", failure.code)
    assert.equal("not now", failure.message)
    assert.same({ left = 3 }, failure.details)
    assert.is_false(failure.retryable)
    assert.equal("failing", failure.process)
    assert.equal("with_error", failure.method)
    expect.part("workers/failing.lua", failure.traceback)
  end))

  it("goes on to whoever called the caller", with_caller(function(pm, caller)
    pm:spawn "workers.failing"
    local err = expect.error("rate_limited", caller.call, caller, "failing", "with_error",
      "rate_limited")
    assert.equal("not now", err.message)
    assert.equal("failing", err.process)
    assert.equal("with_error", err.method)
    expect.part("workers/failing.lua", err.traceback)
  end))

  it("names a service that there is not", with_caller(function(_, caller)
    local failure = caller:failure("nobody", "echo", 1)
    assert.equal("worker_lost", failure.code)
    assert.equal('no service named "nobody" is running', failure.message)
    assert.equal("nobody", failure.process)
    assert.equal("echo", failure.method)
  end))

  it("names a method that there is not", with_caller(function(pm, caller)
    pm:spawn "workers.visible"
    local failure = caller:failure("visible", "ad", 1, 2)
    assert.equal("method_not_found", failure.code)
    assert.equal("there is no method ad; did you mean add?", failure.message)
    assert.equal("visible", failure.process)
    assert.equal("ad", failure.method)
    assert.equal("there is no method preposterous; it has add, count_words",
      caller:failure("visible", "preposterous").message)
  end))

  it("names a method that is private", with_caller(function(pm, caller)
    pm:spawn "workers.visible"
    local failure = caller:failure("visible", "secret", 1, 2)
    assert.equal("not_public", failure.code)
    assert.equal("secret is private; declare it with public = true to call it from outside",
      failure.message)
  end))

  it("tells of values that cannot travel", with_caller(function(pm, caller)
    pm:spawn "workers.untravelling"
    local failure = caller:failure("untravelling", "value", "cycle")
    assert.equal("validation_failed", failure.code)
    expect.part("result 1.list[2]: a table that contains itself", failure.message)
    local err = expect.error("validation_failed", caller.run, caller,
      "return require('titan').service('untravelling'):value({ print })")
    expect.part("argument 1[1]: a function cannot travel", err.message)
    assert.is_true(caller:call("untravelling", "alive"))
  end))
end)

describe("a call between workers", function()
  -- The cancel has to pass the manager before the worker hears of it.
  local function given_up(pm, caller)
    while pm:discover("gate"):count() > 0 do
      caller:call("gate", "count")
    end
    return pm:discover("gate"):count_given_up()
  end

  it("may have a timeout, and is given up then", with_caller(function(pm, caller)
    pm:spawn "workers.gate"
    local err = expect.error("timeout", caller.call_within, caller, "50ms", "gate", "pass")
    assert.equal("no answer within 50 ms", err.message)
    assert.equal("gate", err.process)
    assert.equal("pass", err.method)
    assert.equal(1, given_up(pm, caller))
  end))

  it("has the config's timeout", with_caller({ resources = { timeout = 200 } },
    function(pm, caller)
      pm:spawn "workers.gate"
      local patient = caller:with { timeout = false }
      assert.equal("no answer within 200 ms", expect.error("timeout", patient.call, patient,
        "gate", "pass").message)
    end))

  it("is given up with the call that made it", with_caller(function(pm, caller)
    pm:spawn "workers.gate"
    local hasty = caller:with { timeout = "100ms" }
    expect.error("timeout", hasty.call, hasty, "gate", "pass")
    assert.equal(1, given_up(pm, caller))
  end))

  it("ends with the process it is made to", with_caller(function(pm, caller)
    pm:spawn("workers.caller", { name = "victim" })
    local failure = caller:failure("victim", "run", "os.exit(3)")
    assert.equal("worker_lost", failure.code)
    assert.equal("the worker exited with code 3 in the middle of this call", failure.message)
    assert.equal("victim", failure.process)
    assert.equal("run", failure.method)
    assert.is_true(failure.retryable)
    assert.equal("worker_lost", caller:failure("victim", "run", "return 1").code)
  end))

  it("ends with the process that made it", with_caller(function(pm, caller)
    pm:spawn "workers.gate"
    local pending = caller.async:call("gate", "pass")
    while pm:discover("gate"):count() == 0 do
      titan.sleep(0)
    end
    pm:kill "caller"
    expect.error("worker_lost", pending.await, pending)
    local again = pm:spawn("workers.caller", { name = "again" })
    assert.equal(1, given_up(pm, again))
  end))

  it("is refused by one that stops", with_caller(function(pm, caller)
    local gate = pm:spawn "workers.gate"
    local passing = gate.async:rest "100ms"
    local stopped = titan.go(gate.__destroy, gate)
    assert.equal("shutting_down", caller:failure("gate", "count").code)
    passing:await()
    stopped:await()
    assert.equal("worker_lost", caller:failure("gate", "count").code)
  end))

  it("obeys limits.outstanding, on the way to either", with_caller({ limits = { outstanding = 2 } },
    function(pm, caller)
      local gate = pm:spawn "workers.gate"
      local resting = { gate.async:rest "100ms", gate.async:rest "100ms" }
      local failure = caller:failure("gate", "count")
      assert.equal("overloaded", failure.code)
      assert.is_true(failure.retryable)
      titan.all(resting)
      assert.equal(0, caller:call("gate", "count"))
      local err = expect.error("overloaded", caller.all, caller, "gate", 3)
      expect.part("2 calls have no answer yet", err.message)
    end))

  it("obeys limits.nesting", with_caller({ limits = { nesting = 200 } }, function(pm, caller)
    pm:spawn "workers.echo"
    pm:spawn "workers.untravelling"
    local deep = caller:call("untravelling", "nested", 200)
    assert.same(deep, caller:call("echo", "echo", deep))
    assert.equal("validation_failed", caller:failure("untravelling", "nested", 201).code)
  end))
end)

describe("inside a worker", function()
  it("tasks are combined as in the manager", with_caller(function(pm, caller)
    pm:spawn "workers.echo"
    assert.same({ "won", "in time", "timeout", "cancelled" }, { caller:combined "echo" })
  end))

  it("there is no manager, and no run", with_caller(function(_, caller)
    expect.part("titan.service(name)", expect.error("invalid_config", caller.run, caller,
      "return require('titan').manager {}").message)
    expect.part("use titan.go", expect.error("invalid_config", caller.run, caller,
      "return require('titan').run(print)").message)
  end))

  it("an error that nobody awaits is told on stderr, and ends nothing", with_caller(
    function(pm, caller)
      caller:run [[
        require("titan").go(error, "lost in a worker")
        collectgarbage()
        collectgarbage()
      ]]
      assert.equal(1, caller:run "return 1")
      pm:stop_process "caller"
      local info = pm:get_process_info "w1"
      assert.equal("stopped", info.status)
      expect.part("an error in a task that nobody awaited: lost in a worker", info.stderr_tail)
    end))

  it("a task may outlive the call that started it", with_caller(function(pm, caller)
    pm:spawn "workers.echo"
    caller:run [[
      local titan = require "titan"
      titan.go(function()
        titan.sleep(1)
        OUTCOME = titan.service("echo"):echo("later")
      end)
    ]]
    while not caller:run "return OUTCOME" do
      titan.sleep(1)
    end
    assert.equal("later", caller:run "return OUTCOME")
  end))

  it("a process that was started there ends with the worker", with_caller(function(pm, caller)
    local pid = caller:run [[
      local file = io.popen("echo $$; exec sleep 3600")
      CHILD = file
      return file:read "n"
    ]]
    assert.is_true(system.alive(pid))
    pm:kill "caller"
    while pm:discover "caller" or system.alive(pid) do
      titan.sleep(1)
    end
  end))
end)
