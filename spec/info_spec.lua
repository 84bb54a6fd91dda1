local expect = require "support.expect"
local managed = require "support.managed"
local system = require "support.system"
local titan = require "titan"

describe("pm:get_process_info", function()
  it("tells of a process that runs", managed(function(pm)
    local before = os.time() * 1000
    local worker = pm:spawn("workers.named", { name = "parrot" })
    expect.error("method_not_found", worker.nonsense, worker)
    worker:name()
    local info = pm:get_process_info "parrot"
    assert.same(info.id, pm:get_process_info(info.id).id)
    assert.equal("w1", info.id)
    assert.equal("parrot", info.name)
    assert.equal("running", info.status)
    assert.is_true(system.alive(info.pid))
    assert.equal("process", info.isolation)
    assert.equal("unix", info.transport)
    assert.equal("integer", math.type(info.start_time))
    assert.is_true(info.start_time >= before and info.start_time <= (os.time() + 1) * 1000)
    assert.is_nil(info.end_time)
    assert.is_true(info.uptime > 0)
    assert.equal(0, info.restart_count)
    assert.equal("1.2.3", info.version)
    assert.equal(package.searchpath("workers.named", package.path), info.file)
    assert.equal("", info.stdout_tail)
    assert.equal("", info.stderr_tail)
    for _, field in ipairs { "exit", "exit_code", "exit_signal", "last_error" } do
      assert.is_nil(info[field])
    end
  end))

  it("tells what it does", managed(function(pm)
    local worker = pm:spawn "workers.failing"
    local gate = pm:spawn "workers.gate"
    worker:alive()
    pcall(worker.with_text, worker)
    local activity = pm:get_process_info("failing").activity
    assert.equal(2, activity.calls)
    assert.equal(1, activity.errors)
    assert.equal(0, activity.in_flight)
    assert.is_true(activity.lua_heap > 0)
    assert.is_nil(activity.running)
    assert.equal("with_text", activity.last_calls[1].method)
    assert.is_true(activity.last_calls[1].failed)
    assert.equal("alive", activity.last_calls[2].method)
    assert.is_false(activity.last_calls[2].failed)
    assert.is_true(activity.last_calls[2].ago_ms >= activity.last_calls[2].took_ms)
    local passing = gate.async:pass()
    gate:count()
    activity = pm:get_process_info("gate").activity
    assert.equal(1, activity.in_flight)
    assert.is_nil(activity.last_calls[2].took_ms)
    gate:open()
    passing:await()
  end))

  it("tells of a process that starts", managed(function(pm)
    local starting = titan.go(pm.spawn, pm, "workers.starting", { options = { rest = "50ms" } })
    assert.equal("pending", pm:get_process_info("w1").status)
    assert.is_nil(pm:get_process_info("w1").pid)
    assert.is_nil(pm:discover "starting")
    while pm:get_process_info("w1").status == "pending" do
      titan.sleep(1)
    end
    assert.equal("starting", pm:get_process_info("w1").status)
    assert.is_nil(pm:discover "starting")
    starting:await()
    assert.equal("running", pm:get_process_info("w1").status)
    assert.truthy(pm:discover "starting")
  end))

  it("tells of a process that has ended, by its id", managed(function(pm)
    local worker = pm:spawn "workers.caller"
    pcall(worker.run, worker, "io.stderr:write 'farewell' print 'out' os.exit(3)")
    local info = pm:get_process_info "w1"
    assert.equal("crashed", info.status)
    assert.equal("exited with code 3", info.exit)
    assert.equal(3, info.exit_code)
    assert.is_true(titan.is_error(info.last_error))
    assert.equal("worker_lost", info.last_error.code)
    assert.equal("caller", info.last_error.process)
    assert.equal("out\n", info.stdout_tail)
    expect.part("farewell", info.stderr_tail)
    assert.is_true(info.end_time >= info.start_time)
    assert.is_nil(pm:get_process_info "caller")
    assert.is_nil(pm:discover "caller")
  end))

  it("is nil for what there never was", managed(function(pm)
    assert.is_nil(pm:get_process_info "w1")
    assert.is_nil(pm:get_process_info "nobody")
    expect.part("expected the id or the name of a process, given nil",
      expect.error("invalid_config", pm.get_process_info, pm).message)
  end))
end)

describe("pm:get_all_processes", function()
  it("lists those that ended, then those that run", managed(function(pm)
    assert.same({}, pm:get_all_processes())
    for _, name in ipairs { "a", "b", "c", "d" } do
      pm:spawn("workers.echo", { name = name })
    end
    pm:stop_process "c"
    pm:stop_process "a"
    local names, states = {}, {}
    for i, info in ipairs(pm:get_all_processes()) do
      names[i], states[i] = info.name, info.status
    end
    assert.same({ "c", "a", "b", "d" }, names)
    assert.same({ "stopped", "stopped", "running", "running" }, states)
  end))
end)

describe("pm:discover", function()
  it("finds what runs, and nothing else", managed(function(pm)
    assert.is_nil(pm:discover "echo")
    local worker = pm:spawn "workers.echo"
    assert.equal(worker, pm:discover "echo")
    assert.is_nil(pm:discover "ech")
    worker:__destroy()
    assert.is_nil(pm:discover "echo")
    assert.is_nil(pm:discover "w1")
  end))
end)
