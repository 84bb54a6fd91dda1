local expect = require "support.expect"
local managed = require "support.managed"
local stderr = require "support.stderr"
local system = require "support.system"
local titan = require "titan"

-- Waits until `fn` gives something. For events, whose handlers are tasks of their own.
local function eventually(fn)
  local result = fn()
  while not result do
    titan.sleep(1)
    result = fn()
  end
  return result
end

-- What is heard of an event, as a list that grows.
local function heard(pm, event)
  local list = {}
  pm:on(event, function(data)
    list[#list + 1] = data
  end)
  return list
end

describe("process:spawn", function()
  it("tells of a process that begins to start", managed(function(pm)
    local list = heard(pm, "process:spawn")
    pm:spawn("workers.starting", { name = "newborn" })
    assert.equal(1, #list)
    local info = list[1]
    assert.equal("w1", info.id)
    assert.equal("newborn", info.name)
    assert.equal("starting", info.status)
    assert.is_true(system.alive(info.pid))
    assert.equal(info.pid, pm:discover("newborn"):pid())
  end))
end)

describe("process:ready", function()
  it("tells of a process that can be called", managed(function(pm)
    local list = heard(pm, "process:ready")
    pm:on("process:ready", function(info)
      list[2] = pm:discover(info.name):name()
    end)
    pm:spawn "workers.named"
    eventually(function() return list[2] end)
    assert.equal("running", list[1].status)
    assert.equal("a-named-class", list[1].name)
    assert.equal("1.2.3", list[1].version)
    assert.equal("a-named-class", list[2])
  end))

  it("is not for one that could not start", managed(function(pm)
    local spawned, ready = heard(pm, "process:spawn"), heard(pm, "process:ready")
    local crashed, stopped = heard(pm, "process:crash"), heard(pm, "process:stop")
    pcall(pm.spawn, pm, "workers.named", { cwd = "/no/such/directory" })
    titan.sleep(1)
    assert.same({ 1, 0, 0, 0 }, { #spawned, #ready, #crashed, #stopped })
  end))
end)

describe("process:stop", function()
  it("tells of a process that was stopped, or ended by itself", managed(function(pm)
    local list = heard(pm, "process:stop")
    pm:spawn "workers.echo"
    local pid = pm:get_process_info("echo").pid
    pm:stop_process "echo"
    local info = eventually(function() return list[1] end)
    assert.equal("w1", info.id)
    assert.equal("echo", info.name)
    assert.equal(pid, info.pid)
    assert.equal("stopped", info.status)
    assert.equal("exited with code 0", info.exit)
    assert.equal(0, info.exit_code)
    assert.is_true(info.end_time >= info.start_time)
    assert.equal(1, #list)
  end))
end)

describe("process:crash", function()
  it("tells why, and what the process was doing", managed(function(pm)
    local list, stopped = heard(pm, "process:crash"), heard(pm, "process:stop")
    local worker = pm:spawn("workers.caller", { name = "victim" })
    local pid = pm:get_process_info("victim").pid
    assert.equal(1, worker:run "return 1")
    local err = expect.error("worker_lost", worker.run, worker,
      "io.stderr:write 'farewell\\n' os.exit(3)")
    local report = eventually(function() return list[1] end)
    assert.equal("w1", report.id)
    assert.equal("victim", report.name)
    assert.equal(pid, report.pid)
    assert.equal("exited with code 3", report.reason)
    assert.equal(3, report.exit_code)
    assert.is_nil(report.exit_signal)
    assert.is_true(titan.is_error(report.error))
    assert.equal(err.code, report.error.code)
    assert.equal("run", report.running.method)
    assert.is_true(report.running.for_ms >= 0)
    assert.equal(1, report.in_flight)
    assert.equal(2, report.calls)
    assert.equal(0, report.errors)
    assert.equal("run", report.last_calls[1].method)
    assert.is_nil(report.last_calls[1].took_ms)
    assert.is_true(report.last_calls[2].took_ms >= 0)
    assert.is_true(report.lua_heap > 0)
    assert.is_true(report.uptime > 0)
    assert.equal("farewell\n", report.stderr)
    expect.part({ "crash of victim (w1, pid " .. pid .. "): it exited with code 3", "running run",
      "1 in flight", "calls    2, 0 failed", "farewell" }, tostring(report))
    assert.equal(1, #list)
    assert.equal(0, #stopped)
  end))

  it("tells of a signal", managed(function(pm)
    local list = heard(pm, "process:crash")
    pm:spawn "workers.echo"
    pm:kill("echo", "SIGUSR1")
    local report = eventually(function() return list[1] end)
    assert.equal("was killed by SIGUSR1", report.reason)
    assert.equal("SIGUSR1", report.exit_signal)
    assert.is_nil(report.exit_code)
    assert.is_nil(report.running)
    assert.equal(0, report.in_flight)
  end))
end)

describe("log", function()
  it("tells each line that a worker prints", managed(function(pm)
    local list = heard(pm, "log")
    local worker = pm:spawn "workers.caller"
    local pid = pm:get_process_info("caller").pid
    worker:run "print 'out' io.stderr:write('err\\n', 'half ') io.stdout:write 'last'"
    pm:stop_process "caller"
    eventually(function() return #list == 4 end)
    local lines = {}
    for _, line in ipairs(list) do
      assert.same({ "w1", "caller", pid }, { line.id, line.name, line.pid })
      assert.equal("integer", math.type(line.time))
      lines[line.stream] = lines[line.stream] or {}
      table.insert(lines[line.stream], line.line)
    end
    assert.same({ stdout = { "out", "last" }, stderr = { "err", "half " } }, lines)
  end))
end)

describe("pm:on", function()
  it("tells every handler, in the order in which they came", managed(function(pm)
    local log = {}
    for i = 1, 3 do
      pm:on("process:ready", function()
        log[#log + 1] = i
      end)
    end
    pm:spawn "workers.echo"
    pm:spawn "workers.echo"
    assert.same({ 1, 2, 3, 1, 2, 3 }, log)
  end))

  it("runs handlers as tasks, which may wait and call", managed(function(pm)
    local echoed
    pm:on("process:ready", function(info)
      titan.sleep(1)
      echoed = pm:discover(info.name):echo "heard"
    end)
    pm:spawn "workers.echo"
    assert.equal("heard", eventually(function() return echoed end))
  end))

  it("is undone by pm:off", managed(function(pm)
    local log = {}
    local function first()
      log[#log + 1] = "first"
    end
    assert.equal(first, pm:on("process:ready", first))
    local second = pm:on("process:ready", function()
      log[#log + 1] = "second"
    end)
    pm:spawn "workers.echo"
    pm:off("process:ready", first)
    pm:spawn "workers.echo"
    pm:off("process:ready", second)
    pm:off("process:ready", print)
    pm:off("process:stop", print)
    pm:spawn "workers.echo"
    assert.same({ "first", "second", "second" }, log)
  end))

  it("may be undone by the handler itself", managed(function(pm)
    local log, once = {}, nil
    once = pm:on("process:ready", function()
      log[#log + 1] = "once"
      pm:off("process:ready", once)
    end)
    pm:on("process:ready", function()
      log[#log + 1] = "always"
    end)
    pm:spawn "workers.echo"
    pm:spawn "workers.echo"
    assert.same({ "once", "always", "always" }, log)
  end))

  it("reports a handler that raises, and goes on", function()
    local log, err = {}, nil
    local said = stderr(function()
      err = expect.error("remote_error", titan.run, function()
        local pm = titan.manager { logs = { format = "none" } }
        pm:on("process:ready", function()
          error "a bad handler"
        end)
        pm:on("process:ready", function(info)
          log[#log + 1] = info.name
        end)
        assert.equal(1, pm:spawn("workers.echo"):echo(1))
        assert.equal(2, pm:spawn("workers.echo"):echo(2))
      end)
    end)
    assert.same({ "echo", "echo-2" }, log)
    assert.equal("an error in a task was never awaited (see stderr)", err.message)
    expect.part({ "events_spec.lua:", ": a bad handler", "stack traceback:" }, said)
    assert.equal(2, select(2, said:gsub("a bad handler\n", "")))
  end)

  it("knows the events, and the nearest to a misspelt one", managed(function(pm)
    for method, arguments in pairs { on = { print }, off = { print } } do
      local err = expect.error("invalid_config", pm[method], pm, "process:crsh",
        table.unpack(arguments))
      assert.equal('on.event: unknown event "process:crsh"; did you mean "process:crash"?',
        err.message)
      err = expect.error("invalid_config", pm[method], pm, "nonsense", table.unpack(arguments))
      assert.equal('on.event: unknown event "nonsense"; there are process:spawn, process:ready, '
        .. "process:crash, process:restart, process:stop, child:start-failed, child:failed, "
        .. "supervisor:failed, pool:scale, pool:memory, pool:failed, health:change, "
        .. "health:critical, log", err.message)
    end
    expect.part("unknown event nil", expect.error("invalid_config", pm.on, pm).message)
  end))

  it("wants a function", managed(function(pm)
    assert.equal("on.handler: expected a function, given a nil",
      expect.error("invalid_config", pm.on, pm, "log").message)
  end))
end)
