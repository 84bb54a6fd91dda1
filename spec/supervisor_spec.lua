local expect = require "support.expect"
local proc = require "support.proc"
local restarts = require "support.restarts"
local titan = require "titan"
local trees = require "support.trees"

proc.forget_leaks()

local directory

before_each(function()
  directory = proc.directory()
end)

after_each(function()
  proc.remove(directory)
end)

local function read_journal()
  return proc.read(directory .. "/journal") or ""
end

local function open_gate()
  io.open(directory .. "/go", "w"):close()
end

-- A child that is ready when the gate is open.
local function waiting(name, changes)
  changes = changes or {}
  changes.plan, changes.directory = { "wait" }, directory
  return trees.child(name, changes)
end

describe("a supervisor", function()
  it("starts its children left to right and stops them right to left", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = trees.children("b", "c", "a") }
    assert.equal("stopped", tree:status())
    assert.equal(0, #pm:get_all_processes())
    assert.equal(tree, tree:start())
    assert.equal("running", tree:status())
    assert.equal("b running, c running, a running", trees.statuses(tree))
    assert.is_true(tree:stop())
    assert.equal("stopped", tree:status())
    assert.equal("b stopped, c stopped, a stopped", trees.statuses(tree))
    assert.same({ "ready b", "ready c", "ready a", "stop a", "stop c", "stop b" },
      trees.take(told, 6))
  end))

  it("starts a child when the one before it is ready, not before", trees.test(function(pm)
    local tree = pm:create_supervisor { children = { waiting "a", trees.child "b" } }
    local start = titan.go(tree.start, tree)
    restarts.await_status(pm, "a", "starting")
    assert.equal("starting", tree:status())
    assert.equal("a starting, b stopped", trees.statuses(tree))
    assert.is_nil(pm:get_process_info "b")
    assert.is_false(start:done())
    open_gate()
    start:await()
    assert.equal("a running, b running", trees.statuses(tree))
  end))

  it("stops a child when the one after it has ended, not before", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { directory = directory }),
      { name = "b", process = "fault_workers.steady",
        options = { options = { journal = directory .. "/journal" } } },
    } }
    tree:start()
    local call = tree:child("b").async:wait_for(directory .. "/go")
    local stop = titan.go(tree.stop, tree)
    proc.await("the hooks of b", function()
      return read_journal() == "b says goodbye\nb closes the door\n"
    end)
    assert.equal("stopping", tree:status())
    assert.equal("a running, b stopping", trees.statuses(tree))
    open_gate()
    assert.equal("done", call:await()) -- what is under way finishes
    stop:await()
    expect.part("a stops", read_journal())
  end))

  it("can be started again, with processes of their own", trees.test(function(pm)
    local tree = pm:create_supervisor { children = trees.children("a") }
    local first = tree:start():child "a"
    local id = first:__id()
    tree:stop()
    assert.is_nil(pm:discover "a")
    local second = tree:start():child "a"
    assert.not_equal(id, second:__id())
    assert.equal("alive", second:echo "alive")
    expect.error("destroyed", first.echo, first)
  end))

  it("without children runs as well", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {} }
    assert.equal("running", tree:start():status())
    assert.is_true(tree:stop())
    assert.is_true(tree:stop())
    assert.equal("stopped", tree:status())
  end))

  it("is stopped by stop_all, which starts nothing again", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = trees.children("a", "b") }
    tree:start()
    pm:spawn(trees.PHOENIX, { name = "other" })
    assert.is_true(pm:stop_all())
    assert.equal("stopped", tree:status())
    assert.same({ "ready a", "ready b", "ready other", "stop b", "stop a", "stop other" },
      trees.take(told, 6))
  end))

  it("keeps a program running until it is stopped", function()
    local order = {}
    local tree
    titan.run(function()
      local pm = titan.manager { logs = { format = "none" } }
      tree = pm:create_supervisor { children = trees.children("a") }
      tree:start()
      pm:on("process:crash", function()
        order[#order + 1] = "crash"
        tree:stop()
        order[#order + 1] = "stopped"
      end)
      titan.go(function()
        titan.sleep(20) -- the program has returned long since
        pm:kill "a"
      end)
      order[#order + 1] = "returned"
    end)
    assert.same({ "returned", "crash", "stopped" }, order)
    assert.equal("stopped", tree:status())
  end)
end)

describe("at the same time", function()
  it("several starts are one", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = { waiting "a", trees.child "b" } }
    local starts = {}
    for i = 1, 5 do
      starts[i] = titan.go(tree.start, tree)
    end
    restarts.await_status(pm, "a", "starting")
    starts[6] = titan.go(tree.start, tree)
    open_gate()
    for _, tree_again in ipairs(titan.all(starts)) do
      assert.equal(tree, tree_again)
    end
    assert.equal(tree, tree:start())
    assert.same({ "ready a", "ready b" }, trees.take(told, 2))
    assert.equal(2, #pm:get_all_processes())
  end))

  it("several starts fail with one error", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { plan = { "fail" }, directory = directory, critical = true }),
    } }
    local starts = {}
    for i = 1, 3 do
      starts[i] = titan.go(tree.start, tree)
    end
    local first = expect.error("spawn_failed", starts[1].await, starts[1])
    for i = 2, 3 do
      assert.equal(first, expect.error("spawn_failed", starts[i].await, starts[i]))
    end
    assert.equal("a starts\n", read_journal())
  end))

  it("several stops are one", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { stop = "wait", directory = directory, shutdown_timeout = 50 }),
    } }
    tree:start()
    local stops = {}
    for i = 1, 3 do
      stops[i] = titan.go(tree.stop, tree)
    end
    for _, stop in ipairs(stops) do
      assert.is_true(stop:await())
    end
    assert.equal("a stops\n", read_journal())
  end))

  it("a start waits for the end of a stop", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a", trees.child("b", { stop = "wait", shutdown_timeout = 50 }),
    } }
    tree:start()
    local stop = titan.go(tree.stop, tree)
    assert.equal("stopping", tree:status())
    tree:start()
    assert.is_true(stop:done())
    assert.equal("running", tree:status())
    assert.same({ "ready a", "ready b", "stop b", "stop a", "ready a", "ready b" },
      trees.take(told, 6))
  end))

  it("a stop ends a start", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a", waiting("b", { shutdown_timeout = 50 }), trees.child "c",
    } }
    local start = titan.go(tree.start, tree)
    restarts.await_status(pm, "b", "starting")
    assert.is_true(tree:stop())
    local err = expect.error("shutting_down", start.await, start)
    expect.part("stopped while it started", err.message)
    assert.equal("a stopped, b stopped, c stopped", trees.statuses(tree))
    assert.same({ "ready a", "stop b", "stop a" }, trees.take(told, 3))
    open_gate()
    tree:start()
    assert.same({ "ready a", "ready b", "ready c" }, trees.take(told, 3))
  end))

  it("a stop ends a start, whatever has failed before", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { plan = { "kill" }, directory = directory }),
      waiting("b", { shutdown_timeout = 50 }),
    } }
    local start = titan.go(tree.start, tree)
    restarts.await_status(pm, "b", "starting")
    tree:stop()
    expect.error("shutting_down", start.await, start)
  end))

  it("a critical child that is given up ends a start", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { name = "tree", max_restarts = 0, children = {
      trees.child("a", { critical = true }), waiting("b", { shutdown_timeout = 50 }),
    } }
    local start = titan.go(tree.start, tree)
    restarts.await_status(pm, "b", "starting")
    pm:kill "a"
    local err = expect.error("worker_lost", start.await, start)
    expect.part({ 'supervisor "tree" gave up', 'child "a" is critical', "killed by SIGKILL" },
      err.message)
    assert.same({ "ready a", "crash a", "stop b" }, trees.take(told, 3))
    assert.equal("stopped", tree:status())
  end))

  it("a start finds the manager stopping", trees.test(function(pm)
    pm:spawn(trees.PHOENIX, { options = { stop = "wait" } })
    local tree = pm:create_supervisor { children = trees.children("a") }
    local stop = titan.go(pm.stop_all, pm, 50)
    expect.error("shutting_down", tree.start, tree)
    stop:await()
    assert.equal("stopped", tree:status())
    assert.equal("running", tree:start():status())
  end))
end)

describe("a stop", function()
  it("neither waits for a backoff nor lets it survive", trees.test({
    restart_policy = restarts.late(),
  }, function(pm)
    local tree = pm:create_supervisor { children = trees.children("a", "b") }
    tree:start()
    local id = tree:child("a"):__id()
    pm:kill "a"
    trees.await_child(tree, "a", "crashed")
    assert.is_true(tree:stop())
    assert.equal("a stopped, b stopped", trees.statuses(tree))
    assert.is_nil(pm:discover "a")
    expect.part("killed by SIGKILL", pm:get_process_info(id).last_error.message)
  end))

  it("is not followed by the restart that was due", trees.test({
    restart_policy = restarts.soon { delay = 20 },
  }, function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = trees.children("a") }
    tree:start()
    pm:kill "a"
    trees.await_child(tree, "a", "crashed")
    tree:stop()
    titan.sleep(60) -- the backoff, and more
    assert.same({ "ready a", "crash a" }, trees.take(told, 2))
    assert.equal("stopped", tree:status())
  end))

  it("takes crashes in the meantime for what it wanted", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { strategy = "one_for_all", children = {
      trees.child "a", trees.child("b", { critical = true }),
      trees.child("c", { stop = "wait", directory = directory, shutdown_timeout = "1h" }),
    } }
    tree:start()
    local stop = titan.go(tree.stop, tree)
    proc.await("the hook of c", function()
      return read_journal() == "c stops\n"
    end)
    pm:kill "b"
    proc.await("the crash of b", function()
      return told[4] == "crash b"
    end)
    assert.equal("a running, b stopped, c stopping", trees.statuses(tree))
    pm:kill "c"
    stop:await()
    assert.equal("a stopped, b stopped, c stopped", trees.statuses(tree))
    assert.same({ "ready a", "ready b", "ready c", "crash b", "stop c", "stop a" },
      trees.take(told, 6))
  end))

  it("ends the restart of a child", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { plan = { "live", "wait" }, directory = directory,
        shutdown_timeout = 50 }),
    } }
    tree:start()
    pm:kill "a"
    restarts.await_status(pm, "a", "starting")
    proc.await("the second start", function()
      return select(2, read_journal():gsub("a starts", "")) == 2
    end)
    assert.is_true(tree:stop())
    assert.equal("a stopped", trees.statuses(tree))
    assert.equal(2, select(2, read_journal():gsub("a starts", "")))
    assert.is_nil(pm:discover "a")
  end))

  -- Whether on_shutdown ran is in the journal.
  local function stopped(pm, changes)
    changes.directory = directory
    local tree = pm:create_supervisor { children = { trees.child("a", changes) } }
    local worker = tree:start():child "a"
    tree:stop()
    return pm:get_process_info(worker:__id())
  end

  it("with a shutdown_timeout of 0 kills at once", trees.test(function(pm)
    local info = stopped(pm, { shutdown_timeout = 0 })
    assert.equal("SIGKILL", info.exit_signal)
    assert.equal("stopped", info.status)
    assert.equal("", read_journal())
  end))

  it("kills a child that ignores it, at the child's deadline", trees.test(function(pm)
    local info = stopped(pm, { shutdown_timeout = 50, stop = "wait" })
    assert.equal("SIGKILL", info.exit_signal)
    assert.equal("timeout", info.last_error.code)
    assert.equal("a stops\n", read_journal())
  end))

  it("kills a child that ignores it, at the deadline of its options", trees.test(function(pm)
    local info = stopped(pm, { options = { shutdown_timeout = 50 }, stop = "wait" })
    assert.equal("timeout", info.last_error.code)
  end))

  it("kills a child that ignores it, at the deadline of the config", trees.test({
    advanced = { graceful_shutdown_timeout = 50 },
  }, function(pm)
    assert.equal("timeout", stopped(pm, { stop = "wait" }).last_error.code)
  end))

  it("kills the children of a child, too", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      { name = "a", process = "fault_workers.steady", shutdown_timeout = 50,
        options = { options = { journal = directory .. "/journal", stop = "wait" } } },
    } }
    local child, other = tree:start():child("a"):have_children()
    tree:stop()
    assert.equal("a says goodbye\n", read_journal())
    proc.await_gone(math.tointeger(child), math.tointeger(other))
  end))
end)
