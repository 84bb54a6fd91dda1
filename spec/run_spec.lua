local expect = require "support.expect"
local managed = require "support.managed"
local program = require "support.program"
local system = require "support.system"
local titan = require "titan"

local function nothing() end

-- A future that waits for itself, and so for ever.
local function endless()
  local future
  future = titan.go(function()
    titan.sleep(0)
    future:await()
  end)
  return future
end

describe("titan.run", function()
  it("returns what the function returns", function()
    assert.same({ 1, nil, "three", nil, n = 4 }, table.pack(titan.run(function(...)
      titan.sleep(0)
      return ...
    end, 1, nil, "three", nil)))
    assert.equal(0, select("#", titan.run(nothing)))
  end)

  it("raises what the function raises", function()
    local problem = setmetatable({}, { __tostring = error })
    for _, err in ipairs { problem, "text", 42, false } do
      for _, waits in ipairs { true, false } do
        local ok, caught = pcall(titan.run, function()
          if waits then
            titan.sleep(0)
          end
          error(err, 0)
        end)
        assert.is_false(ok)
        assert.is_true(rawequal(err, caught))
      end
    end
  end)

  it("closes variables with the error as it was raised", function()
    local problem, seen = {}, nil
    pcall(titan.run, function()
      local _ <close> = setmetatable({}, {
        __close = function(_, err)
          seen = err
        end,
      })
      titan.sleep(0)
      error(problem)
    end)
    assert.equal(problem, seen)
  end)

  it("runs a function", function()
    assert.equal("titan.run: expected a function, given a number",
      expect.error("invalid_config", titan.run, 5).message)
  end)

  it("waits for all tasks, and those that they start", function()
    local log = {}
    titan.run(function()
      titan.go(function()
        titan.sleep(2)
        log[#log + 1] = "first"
        titan.go(function()
          titan.sleep(1)
          log[#log + 1] = "second"
        end)
      end)
      log[#log + 1] = "main"
    end)
    assert.same({ "main", "first", "second" }, log)
  end)

  it("ends the tasks when the function raises", function()
    local why
    pcall(titan.run, function()
      titan.go(function()
        local _ <close> = setmetatable({}, {
          __close = function(_, err)
            why = err.code
          end,
        })
        titan.sleep "1h"
      end)
      error "enough"
    end)
    assert.equal("cancelled", why)
  end)

  it("is not called inside of itself", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    expect.complaint("titan.run: the loop runs already; use titan.go for another task", titan.run,
      nothing)
    assert.equal(1, worker:echo(1))
  end))

  it("may be called again", managed(function(pm)
    assert.equal(1, pm:spawn("workers.echo"):echo(1))
  end))

  it("stops the workers that are left", function()
    local pids, worker = {}, nil
    titan.run(function()
      local pm = titan.manager { logs = { format = "none" } }
      worker = pm:spawn "workers.echo"
      for _ = 1, 3 do
        pm:spawn "workers.echo"
      end
      for i, info in ipairs(pm:get_all_processes()) do
        pids[i] = info.pid
        assert.is_true(system.alive(info.pid))
      end
    end)
    assert.equal(4, #pids)
    for _, pid in ipairs(pids) do
      assert.is_false(system.alive(pid))
    end
    titan.run(function()
      expect.error("destroyed", worker.echo, worker, 1)
    end)
  end)

  it("stops the workers when the function raises", function()
    local pid
    expect.complaint("enough", titan.run, function()
      local pm = titan.manager { logs = { format = "none" } }
      pm:spawn "workers.echo"
      pid = pm:get_process_info("echo").pid
      error "enough"
    end)
    assert.is_false(system.alive(pid))
  end)
end)

describe("a manager", function()
  it("may be made before the run", function()
    local pm = titan.manager { logs = { format = "none" } }
    assert.equal(1, titan.run(function()
      return pm:spawn("workers.echo"):echo(1)
    end))
  end)

  it("is closed when the run has ended", function()
    local pm
    titan.run(function()
      pm = titan.manager { logs = { format = "none" } }
    end)
    titan.run(function()
      for _, method in ipairs { "spawn", "discover", "get_process_info", "stop_process" } do
        local err = expect.error("destroyed", pm[method], pm, "workers.echo")
        assert.equal("the manager has been closed", err.message)
      end
      assert.is_true(pm:stop_all())
    end)
  end)

  it("may be one of several", function()
    titan.run(function()
      local one = titan.manager { logs = { format = "none" } }
      local other = titan.manager { logs = { format = "none" } }
      assert.equal(1, one:spawn("workers.echo"):calls())
      assert.is_nil(other:discover "echo")
      assert.equal(1, other:spawn("workers.echo"):calls())
      assert.equal(2, one:discover("echo"):calls())
    end)
  end)
end)

describe("waiting for what can never come", function()
  local WHY = "the program waits for something that can never come"

  it("is an error", function()
    local closed
    local err = expect.error("cancelled", titan.run, function()
      local _ <close> = setmetatable({}, {
        __close = function()
          closed = true
        end,
      })
      endless():await()
    end)
    assert.equal(WHY, err.message)
    assert.is_true(closed)
  end)

  it("is an error of each task that the run waits for", function()
    assert.equal(WHY, expect.error("cancelled", titan.run, endless).message)
    assert.equal(WHY, expect.error("cancelled", titan.run, coroutine.yield).message)
  end)

  it("is an error with an idle manager, too", function()
    local before = system.descriptors()
    for _ = 1, 3 do
      assert.equal(WHY, expect.error("cancelled", titan.run, function()
        titan.manager { logs = { format = "none" } }
        endless():await()
      end).message)
    end
    assert.same({}, system.children())
    titan.run(nothing)
    assert.is_true(system.descriptors() <= before)
  end)

  it("leaves the next run alone", function()
    pcall(titan.run, endless)
    assert.equal(5, titan.run(function()
      titan.sleep(0)
      return 5
    end))
  end)
end)

describe("after a run", function()
  -- Everything that a run makes once and keeps is there after the first.
  local function leaves_nothing(fn)
    return function()
      pcall(managed(fn))
      local descriptors, children = system.descriptors(), #system.children()
      for _ = 1, 3 do
        pcall(managed(fn))
      end
      assert.equal(descriptors, system.descriptors())
      assert.equal(children, #system.children())
      assert.equal(0, children)
    end
  end

  it("nothing is left of many workers", leaves_nothing(function(pm)
    for i = 1, 10 do
      assert.equal(i, pm:spawn("workers.echo"):echo(i))
    end
  end))

  it("nothing is left of workers that crashed, or were killed", leaves_nothing(function(pm)
    local victim = pm:spawn "workers.caller"
    pcall(victim.run, victim, "os.exit(3)")
    pm:spawn "workers.echo"
    pm:kill "echo"
    pm:spawn "workers.gate"
    pm:stop_process("gate", 0)
  end))

  it("nothing is left of starts that failed", leaves_nothing(function(pm)
    local file <close> = program.file "error 'no'"
    for _ = 1, 3 do
      pcall(pm.spawn, pm, file.path)
    end
    local hopeless <close> = program.file "while true do end"
    pcall(pm.spawn, pm, hopeless.path, { startup_timeout = "200ms" })
  end))

  it("nothing is left of managers without workers", leaves_nothing(function()
    for _ = 1, 3 do
      titan.manager { logs = { format = "none" } }
    end
  end))

  it("nothing is left of calls that never ended", leaves_nothing(function(pm)
    local gate = pm:spawn("workers.gate", { shutdown_timeout = "50ms" })
    local future = gate.async:pass()
    gate:count()
    future:cancel()
    error "enough"
  end))
end)

describe("after a run, a signal", function()
  local function dies_of_it(fn)
    local file <close> = program.file([[
      local luv, titan = require "luv", require "titan"
      print(pcall(titan.run, function()
        titan.manager { logs = { format = "none" } }
        ]] .. fn .. [[
      end))
      io.stdout:flush()
      luv.kill(luv.os_getpid(), "sigterm")
    ]])
    local ended = program.shell(os.getenv "TITAN_LUA" .. " " .. file.path)
    assert.equal(128 + 15, ended.code)
    return ended.stdout
  end

  it("is the system's again", function()
    assert.equal("true\n", dies_of_it "")
    expect.part("something that can never come", dies_of_it "coroutine.yield()")
  end)
end)

describe("titan run", function()
  it("ends with 0 when the script returns", function()
    local ended = program.run "print(pm:spawn('workers.echo'):echo('hello'))"
    assert.same({ code = 0, stdout = "hello\n", stderr = "" }, ended)
  end)

  it("ends with 1 and a traceback when the script raises", function()
    local ended = program.run [[
      local function fail()
        error "it broke"
      end
      pm:spawn "workers.echo"
      fail()
    ]]
    assert.equal(1, ended.code)
    expect.part({ "titan: ", ": it broke", "stack traceback:", "'fail'" }, ended.stderr)
  end)

  it("shows an error of Titan's with the worker's traceback, not its own", function()
    local ended = program.run "pm:spawn('workers.failing'):with_text()"
    assert.equal(1, ended.code)
    expect.part({ "titan: remote_error: ", "it broke (failing.with_text)", "stack traceback:",
      "workers/failing.lua" }, ended.stderr)
    assert.is_nil(ended.stderr:find "titan.run")
  end)

  it("ends with 1 when a task failed and nobody awaited it", function()
    local ended = program.run "titan.go(error, 'lost')"
    assert.equal(1, ended.code)
    expect.part({ "in a task that nobody awaited: lost",
      "an error in a task was never awaited (see stderr)" }, ended.stderr)
  end)

  it("ends with 1 when the script waits for what can never come", function()
    local ended = program.run "coroutine.yield()"
    assert.equal(1, ended.code)
    expect.part("titan: cancelled: the program waits for something that can never come",
      ended.stderr)
  end)

  it("ends with 1 when the script cannot be read", function()
    local ended = program.run "local ="
    assert.equal(1, ended.code)
    expect.part({ "titan: ", ":2: <name> expected near '='" }, ended.stderr)
  end)

  it("is told to stop while its tasks still run", function()
    for _, run in ipairs { program.run, program.lua } do
      local ended = run [[
        local luv = require "luv"
        pm:spawn "workers.echo"
        titan.go(function()
          local _ <close> = setmetatable({}, { __close = function() print "closed" end })
          luv.kill(luv.os_getpid(), "sigterm")
          titan.sleep "1h"
        end)
      ]]
      assert.same({ code = 0, stdout = "closed\n", stderr = "" }, ended)
    end
  end)
end)
