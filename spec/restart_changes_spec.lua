local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local restarts = require "support.restarts"
local titan = require "titan"

proc.forget_leaks()

local PHOENIX <const> = "fault_workers.phoenix"

local function restarting(fn)
  return managed({ restart_policy = restarts.soon() }, fn)
end

describe("a class that changes between two lives", function()
  local directory, path

  before_each(function()
    directory = proc.directory()
    path = directory .. "/class.lua"
  end)

  after_each(function()
    proc.remove(directory)
  end)

  -- Each method answers with its own name and the version it is of; a name in parentheses is of
  -- a private one.
  local function write(version, ...)
    local methods = {}
    for i, name in ipairs { ... } do
      local bare = name:match "^%((.*)%)$"
      methods[i] = string.format("%s = { public = %s, function() return %q end }", bare or name,
        not bare, (bare or name) .. " " .. version)
    end
    local file <close> = assert(io.open(path, "w"))
    file:write("return require('titan').process { version = '", version, "', methods = { ",
      table.concat(methods, ", "), " } }")
  end

  it("answers by its own names, to functions that were kept as well", restarting(function(pm)
    write("1", "b", "d", "gone")
    local worker = pm:spawn(path, { name = "worker" })
    local async, patient, b, d, gone = worker.async, worker:with { timeout = 5000 }, worker.b,
      worker.d, worker.gone
    local patient_d, async_gone = patient.d, async.gone
    assert.equal("d 1", d(worker))
    assert.equal("d 1", async:d():await())
    write("2", "a", "b", "c", "d", "e") -- every number stands for another one now
    restarts.crash(pm, "worker")
    assert.equal("2", pm:get_process_info("worker").version)
    assert.equal("b 2", b(worker))
    assert.equal("d 2", d(worker))
    assert.equal("d 2", patient_d(patient))
    assert.equal("d 2", async:d():await())
    for _, name in ipairs { "a", "b", "c", "d", "e" } do
      assert.equal(name .. " 2", worker[name](worker))
      assert.equal(name .. " 2", patient[name](patient))
    end
    for _, call in ipairs {
      function() return gone(worker) end, function() return worker:gone() end,
      function() return patient:gone() end, function() return async_gone(async):await() end,
    } do
      local err = expect.error("method_not_found", call)
      assert.equal("gone", err.method)
      assert.equal("worker", err.process)
      expect.part("it has a, b, c, d, e", err.message)
    end
  end))

  it("has its methods back when they come back", restarting(function(pm)
    write("1", "a", "b")
    local worker = pm:spawn(path, { name = "worker" })
    local b = worker.b
    write("2", "a")
    restarts.crash(pm, "worker")
    expect.error("method_not_found", b, worker)
    expect.error("method_not_found", worker.b, worker)
    write("3", "b")
    restarts.crash(pm, "worker")
    assert.equal("b 3", b(worker))
    assert.equal("b 3", worker:b())
    expect.error("method_not_found", worker.a, worker)
  end))

  it("may make a method private", restarting(function(pm)
    write("1", "a", "b")
    local worker = pm:spawn(path, { name = "worker" })
    local b = worker.b
    write("2", "a", "(b)")
    restarts.crash(pm, "worker")
    expect.error("not_public", b, worker)
    expect.error("not_public", worker.b, worker)
    assert.equal("a 2", worker:a())
  end))

  it("changes for other workers, too", restarting(function(pm)
    write("1", "b")
    pm:spawn(path, { name = "worker" })
    local caller = pm:spawn "workers.caller"
    assert.equal("b 1", caller:call("worker", "b"))
    write("2", "a", "b")
    restarts.crash(pm, "worker")
    assert.equal("b 2", caller:call("worker", "b"))
    assert.equal("a 2", caller:call("worker", "a"))
    write("3", "a")
    restarts.crash(pm, "worker")
    assert.equal("method_not_found", caller:failure("worker", "b").code)
  end))

  it("that cannot be loaded is a crash, until it can", restarting(function(pm)
    write("1", "a")
    local worker = pm:spawn(path, { name = "worker" })
    local next_crash = proc.listen(pm, "process:crash")
    os.remove(path)
    pm:kill "worker"
    next_crash()
    local report = next_crash()
    expect.part("class.lua", report.error.message)
    write("2", "a")
    proc.await("its return", function()
      local ok, said = pcall(worker.a, worker)
      return ok and said == "a 2"
    end)
  end))
end)

describe("after a restart", function()
  it("a worker has its options, its environment and its directory", restarting(function(pm)
    local worker = pm:spawn(PHOENIX, { name = "worker", env = { SONG = "dawn" }, cwd = "/",
      options = { feather = { "red" } } })
    restarts.crash(pm, "worker")
    assert.equal("dawn", worker:env "SONG")
    assert.same({ "red" }, worker:option "feather")
    assert.equal("/", luv.fs_readlink("/proc/" .. pm:get_process_info("worker").pid .. "/cwd"))
  end))

  it("a worker has its dependencies", restarting(function(pm)
    local echo = pm:spawn("workers.echo", { name = "echo" })
    local worker = pm:spawn(PHOENIX, { name = "worker", dependencies = { mirror = "echo" } })
    assert.equal("a", worker:ask("mirror", "echo", "a"))
    restarts.crash(pm, "worker")
    assert.equal("b", worker:ask("mirror", "echo", "b"))
    restarts.crash(pm, "echo")
    assert.equal("c", worker:ask("mirror", "echo", "c"))
    assert.equal(1, echo:calls())
  end))

  it("a class's dependencies are there", restarting(function(pm)
    local directory = proc.directory { ["asker.lua"] = [[
      return require("titan").process { name = "asker", dependencies = { mirror = "echo" },
        methods = { ask = { public = true, function(self, ...)
          return self.dependencies.mirror:echo(...)
        end } } }
    ]] }
    pm:spawn("workers.echo", { name = "echo" })
    local asker = pm:spawn(directory .. "/asker.lua")
    for life = 1, 3 do
      assert.equal(life, asker:ask(life))
      restarts.crash(pm, "asker")
    end
    assert.equal(4, asker:ask(4))
    proc.remove(directory)
  end))

  it("a class whose dependency is gone crashes until it is there", restarting(function(pm)
    local directory = proc.directory { ["asker.lua"] = [[
      return require("titan").process { name = "asker", dependencies = { "echo" },
        methods = { ask = { public = true, function(self, ...)
          return self.dependencies.echo:echo(...)
        end } } }
    ]] }
    pm:spawn("workers.echo", { name = "echo" })
    local asker = pm:spawn(directory .. "/asker.lua")
    local next_crash = proc.listen(pm, "process:crash")
    pm:stop_process "echo"
    pm:kill "asker"
    next_crash()
    expect.part({ "depends on", "echo" }, next_crash().error.message)
    pm:spawn("workers.echo", { name = "echo" })
    proc.await("its return", function()
      local ok, said = pcall(asker.ask, asker, "back")
      return ok and said == "back"
    end)
    proc.remove(directory)
  end))

  it("workers that called it call it again", restarting(function(pm)
    local caller = pm:spawn "workers.caller"
    local worker = pm:spawn(PHOENIX, { name = "worker" })
    assert.equal(1, caller:call("worker", "count"))
    local lost = caller.async:failure("worker", "hang")
    proc.await("the call", function()
      return pm:get_process_info("worker").activity.in_flight == 1
    end)
    restarts.crash(pm, "worker")
    local err = lost:await()
    assert.equal("worker_lost", err.code)
    assert.is_true(err.retryable)
    expect.part("killed by SIGKILL in the middle of this call", err.message)
    assert.equal(1, caller:call("worker", "count"))
    assert.equal(2, worker:count())
  end))

  it("and before, other workers hear that it comes again", managed({
    restart_policy = restarts.late(),
  }, function(pm)
    local caller = pm:spawn "workers.caller"
    pm:spawn(PHOENIX, { name = "worker" })
    pm:kill "worker"
    restarts.await_status(pm, "worker", "crashed")
    local err = caller:failure("worker", "echo")
    assert.equal("worker_lost", err.code)
    assert.is_true(err.retryable)
    expect.part({ "down and to be started again", "SIGKILL" }, err.message)
  end))

  it("a worker calls others, whose answers to its last life are nobody's", restarting(function(pm)
    local gate = pm:spawn("workers.gate", { name = "gate" })
    local caller = pm:spawn("workers.caller", { name = "caller" })
    local calls = {}
    for i = 1, 5 do
      calls[i] = caller.async:call("gate", "pass", "old")
    end
    proc.await("the calls", function()
      return gate:count() == 5
    end)
    restarts.crash(pm, "caller")
    for _, call in ipairs(calls) do
      expect.error("worker_lost", call.await, call)
    end
    proc.await("their end", function()
      return gate:count_given_up() == 5
    end)
    local fresh = caller.async:call("gate", "pass", "new")
    proc.await("the call", function()
      return gate:count() == 1
    end)
    gate:open()
    assert.equal("new", fresh:await())
  end))

  it("nothing of the last life is left", restarting(function(pm)
    pm:spawn(PHOENIX, { name = "worker" })
    restarts.crash(pm, "worker")
    local fds, children = proc.fds(), #proc.children()
    for _ = 1, 20 do
      restarts.crash(pm, "worker")
    end
    assert.equal(fds, proc.fds())
    assert.equal(children, #proc.children())
  end))

  it("the worker's children of the last life are gone", restarting(function(pm)
    local worker = pm:spawn("fault_workers.steady", { name = "worker" })
    local child, other = worker:have_children()
    restarts.crash(pm, "worker")
    proc.await_gone(math.tointeger(child), math.tointeger(other))
    assert.equal("alive", worker:echo "alive")
  end))
end)

describe("a name that a class gives itself", function()
  it("is kept over restarts", restarting(function(pm)
    local first, second = pm:spawn "workers.named", pm:spawn "workers.named"
    local names = { first:name(), second:name() }
    restarts.crash(pm, first:__id())
    restarts.crash(pm, second:__id())
    assert.same(names, { first:name(), second:name() })
    assert.equal(first, pm:discover(names[1]))
    local ended = titan.go(pm.stop_process, pm, names[2])
    assert.is_true(ended:await())
    assert.is_nil(pm:discover(names[2]))
  end))
end)
