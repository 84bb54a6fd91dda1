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

local function running(pm, ...)
  local tree = pm:create_supervisor { name = "tree", children = trees.children(...) }
  return tree:start()
end

describe("which_children", function()
  it("says what is known of each, left to right", trees.test({
    restart_policy = restarts.late(),
  }, function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("b", { critical = true }),
      trees.child("a", { optional = true, restart = "transient" }),
      { name = "inner", supervisor = { children = trees.children("c") } },
    } }
    tree:start()
    trees.await_child(tree, "a", "running")
    pm:kill "a"
    trees.await_child(tree, "a", "crashed")
    local info = pm:get_process_info "b"
    assert.same({
      { name = "b", kind = "process", status = "running", restart = "permanent", critical = true,
        optional = false, restarts = 0, id = info.id, pid = info.pid },
      { name = "a", kind = "process", status = "crashed", restart = "transient", critical = false,
        optional = true, restarts = 1, last_error = "was killed by SIGKILL" },
      { name = "inner", kind = "supervisor", status = "running", restart = "permanent",
        critical = false, optional = false, restarts = 0 },
    }, tree:which_children())
    assert.same({ specs = 3, active = 2, workers = 1, pools = 0, supervisors = 1 },
      tree:count_children())
    tree:stop()
    assert.same({ specs = 3, active = 0, workers = 0, pools = 0, supervisors = 0 },
      tree:count_children())
  end))
end)

describe("child", function()
  it("gives a process's proxy, and a supervisor", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a", { name = "inner", supervisor = { children = trees.children("b") } },
    } }
    assert.is_nil(tree:child "a")
    tree:start()
    assert.equal(pm:discover "a", tree:child "a")
    assert.equal("stopped", (tree:child("inner"):stop() and tree:child("inner"):status()))
    tree:child("inner"):start()
    assert.equal(pm:discover "b", tree:child("inner"):child "b")
  end))

  it("does not know every name", trees.test(function(pm)
    local tree = pm:create_supervisor { name = "tree", children = trees.children("worker") }
    for _, method in ipairs { "child", "remove_child", "restart_child" } do
      local err = expect.error("invalid_config", tree[method], tree, "wroker")
      expect.part({ 'supervisor "tree" has no child "wroker"', 'did you mean "worker"?' },
        err.message)
      expect.error("invalid_config", tree[method], tree, nil)
    end
  end))
end)

describe("add_child", function()
  it("adds at the right end, starts, and waits", trees.test(function(pm)
    local tree = running(pm, "a")
    local worker = tree:add_child(trees.child "b")
    assert.equal("alive", worker:echo "alive")
    assert.equal("a running, b running", trees.statuses(tree))
    restarts.crash(pm, "b")
    local told = trees.record(pm)
    tree:stop()
    tree:start()
    assert.same({ "stop b", "stop a", "ready a", "ready b" }, trees.take(told, 4))
  end))

  it("to a stopped supervisor starts nothing yet", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {} }
    assert.is_nil(tree:add_child(trees.child "a"))
    assert.equal("a stopped", trees.statuses(tree))
    assert.is_nil(pm:discover "a")
    tree:start()
    assert.equal("a running", trees.statuses(tree))
  end))

  it("to a starting supervisor waits for those before it", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { plan = { "wait" }, directory = directory }),
    } }
    local start = titan.go(tree.start, tree)
    restarts.await_status(pm, "a", "starting")
    local adding = titan.go(tree.add_child, tree, trees.child "b")
    assert.is_nil(pm:get_process_info "b")
    io.open(directory .. "/go", "w"):close()
    start:await()
    assert.equal("alive", adding:await():echo "alive")
  end))

  it("of one that does not start raises why, and keeps it", trees.test(function(pm)
    local tree = running(pm, "a")
    local err = expect.error("spawn_failed", tree.add_child, tree,
      trees.child("b", { plan = { "fail", "live" }, directory = directory }))
    expect.part({ "no luck", "stderr: the egg is cold" }, err.message)
    assert.equal("a running, b failed", trees.statuses(tree))
    assert.equal("alive", tree:restart_child("b"):echo "alive")
    assert.equal("a running, b running", trees.statuses(tree))
  end))

  it("of a critical one that does not start leaves the rest alone", trees.test(function(pm)
    local tree = running(pm, "a")
    expect.error("spawn_failed", tree.add_child, tree,
      trees.child("b", { plan = { "fail" }, directory = directory, critical = true }))
    assert.equal("a running, b failed", trees.statuses(tree))
    assert.equal("running", tree:status())
  end))

  it("refuses a name that a child has, and specifications that are wrong",
    trees.test(function(pm)
      local tree = running(pm, "a")
      local err = expect.error("invalid_config", tree.add_child, tree, trees.child "a")
      expect.part({ "add_child.name", '"a" is a child of "tree" already' }, err.message)
      err = expect.error("invalid_config", tree.add_child, tree, { proces = trees.PHOENIX })
      expect.part({ "add_child.proces", "process" }, err.message)
      expect.error("invalid_config", tree.add_child, tree)
      assert.equal("a running", trees.statuses(tree))
    end))

  it("refuses a name that another process has", trees.test(function(pm)
    local other = pm:spawn(trees.PHOENIX, { name = "b" })
    local tree = running(pm, "a")
    local err = expect.error("invalid_config", tree.add_child, tree, trees.child "b")
    expect.part('"b" is the name of', err.message)
    assert.equal("a running, b failed", trees.statuses(tree))
    pm:stop_process "b"
    expect.error("destroyed", other.echo, other)
    assert.equal("alive", tree:restart_child("b"):echo "alive")
  end))

  it("may add a supervisor", trees.test(function(pm)
    local tree = running(pm, "a")
    local inner = tree:add_child { name = "inner", supervisor = { children = trees.children("b") } }
    assert.equal("running", inner:status())
    restarts.crash(pm, "b")
    assert.equal("a running, inner running", trees.statuses(tree))
  end))

  it("ends when the supervisor is stopped", trees.test(function(pm)
    local tree = running(pm, "a")
    local adding = titan.go(tree.add_child, tree, trees.child("b", {
      plan = { "wait" }, directory = directory, shutdown_timeout = 50,
    }))
    restarts.await_status(pm, "b", "starting")
    tree:stop()
    expect.error("shutting_down", adding.await, adding)
  end))
end)

describe("remove_child", function()
  it("stops and forgets it", trees.test(function(pm)
    local tree = running(pm, "a", "b", "c")
    local worker = tree:child "b"
    assert.is_true(tree:remove_child "b")
    expect.error("destroyed", worker.echo, worker)
    assert.is_nil(pm:discover "b")
    assert.equal("a running, c running", trees.statuses(tree))
    assert.equal("stopped", pm:get_process_info(worker:__id()).status)
  end))

  it("lets its name be used again", trees.test(function(pm)
    local tree = running(pm, "a", "b")
    tree:remove_child "a"
    assert.equal("alive", tree:add_child(trees.child "a"):echo "alive")
    assert.equal("b running, a running", trees.statuses(tree))
  end))

  it("at the same time is one removal", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { stop = "wait", shutdown_timeout = 50 }),
    } }
    tree:start()
    local first = titan.go(tree.remove_child, tree, "a")
    local second = titan.go(tree.remove_child, tree, "a")
    assert.is_true(first:await())
    assert.is_true(second:await())
    assert.same({}, tree:which_children())
  end))

  it("of one that is removed already is refused, as is its restart", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { stop = "wait", shutdown_timeout = 50 }),
    } }
    tree:start()
    local removal = titan.go(tree.remove_child, tree, "a")
    expect.error("invalid_config", tree.restart_child, tree, "a")
    removal:await()
    expect.error("invalid_config", tree.remove_child, tree, "a")
  end))

  it("of one that waits for its restart ends that", trees.test({
    restart_policy = restarts.late(),
  }, function(pm)
    local tree = running(pm, "a", "b")
    local worker = tree:child "a"
    pm:kill "a"
    trees.await_child(tree, "a", "crashed")
    assert.is_true(tree:remove_child "a")
    assert.equal("b running", trees.statuses(tree))
    assert.is_nil(pm:discover "a")
    expect.part("the worker is gone", expect.error("worker_lost", worker.echo, worker).message)
  end))

  it("of one that starts or has failed, on a supervisor that runs or not",
    trees.test(function(pm)
      local tree = running(pm, "a")
      pcall(tree.add_child, tree, trees.child("b", { plan = { "fail" }, directory = directory }))
      assert.is_true(tree:remove_child "b")
      local adding = titan.go(tree.add_child, tree, trees.child("c", {
        plan = { "wait" }, directory = directory, shutdown_timeout = 50,
      }))
      restarts.await_status(pm, "c", "starting")
      assert.is_true(tree:remove_child "c")
      expect.error("shutting_down", adding.await, adding)
      tree:stop()
      assert.is_true(tree:remove_child "a")
      assert.same({}, tree:which_children())
      assert.equal("running", tree:start():status())
    end))

  it("of a supervisor stops all below it", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a", { name = "inner", supervisor = { children = trees.children("b", "c") } },
    } }
    tree:start()
    tree:remove_child "inner"
    assert.same({ "ready a", "ready b", "ready c", "stop c", "stop b" }, trees.take(told, 5))
    assert.equal("a running", trees.statuses(tree))
  end))
end)

describe("restart_child", function()
  it("gives a child another life", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = running(pm, "a", "b")
    local worker = tree:child "a"
    local pid = worker:pid()
    assert.equal(worker, tree:restart_child "a")
    assert.not_equal(pid, worker:pid())
    assert.same({ "ready a", "ready b", "stop a", "ready a" }, trees.take(told, 4))
  end))

  it("forgets the crashes that went before", trees.test({
    restart_policy = restarts.soon { max_restarts = 1 },
  }, function(pm)
    local tree = running(pm, "a")
    for _ = 1, 3 do
      restarts.crash(pm, "a")
      tree:restart_child "a"
    end
    assert.equal("a running", trees.statuses(tree))
  end))

  it("brings back what was given up, ended or stopped", trees.test({
    restart_policy = restarts.soon { max_restarts = 0 },
  }, function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a", trees.child("b", { restart = "transient" }), trees.child "c",
    } }
    tree:start()
    pm:kill "a"
    trees.await_child(tree, "a", "failed")
    tree:child("b"):leave(0)
    trees.await_child(tree, "b", "stopped")
    pm:stop_process "c"
    for _, name in ipairs { "a", "b", "c" } do
      assert.equal(name, tree:restart_child(name):echo(name))
    end
    assert.equal("a running, b running, c running", trees.statuses(tree))
  end))

  it("does not wait for a backoff", trees.test({ restart_policy = restarts.late() }, function(pm)
    local tree = running(pm, "a")
    local worker = tree:child "a"
    pm:kill "a"
    trees.await_child(tree, "a", "crashed")
    assert.equal(worker, tree:restart_child "a")
    assert.equal("alive", worker:echo "alive")
  end))

  it("raises why it does not start", trees.test({
    restart_policy = restarts.soon { max_restarts = 1 },
  }, function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("a", { plan = { "live", "fail" }, directory = directory }),
    } }
    tree:start()
    local err = expect.error("spawn_failed", tree.restart_child, tree, "a")
    expect.part("no luck", err.message)
    assert.equal("a failed", trees.statuses(tree))
  end))

  it("of a supervisor that is stopped is refused", trees.test(function(pm)
    local tree = pm:create_supervisor { children = trees.children("a") }
    expect.error("shutting_down", tree.restart_child, tree, "a")
    assert.is_nil(pm:discover "a")
  end))

  it("restarts a supervisor with all below it", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      { name = "inner", supervisor = { children = trees.children("a", "b") } },
    } }
    tree:start()
    local told = trees.record(pm)
    assert.equal(tree:child "inner", tree:restart_child "inner")
    assert.same({ "stop b", "stop a", "ready a", "ready b" }, trees.take(told, 4))
  end))
end)

describe("simple_one_for_one", function()
  local function factory(pm, changes)
    local template = trees.child("worker", changes)
    return pm:create_supervisor({
      strategy = "simple_one_for_one", children = { template },
    }):start()
  end

  it("starts as many children as are asked for", trees.test(function(pm)
    local tree = factory(pm, { options = { env = { SONG = "dawn", HOUR = "6" } } })
    local first = tree:add_child()
    local second = tree:add_child { name = "named", env = { SONG = "dusk" } }
    local third = tree:add_child()
    assert.equal("worker-1 running, named running, worker-2 running", trees.statuses(tree))
    assert.equal("dawn", first:env "SONG")
    assert.equal("dusk", second:env "SONG")
    assert.equal(third, tree:child "worker-2")
    assert.equal(third, pm:discover "worker-2")
    tree:remove_child "worker-2"
    assert.equal("worker-1 running, named running", trees.statuses(tree))
    expect.error("invalid_config", tree.add_child, tree, { name = "named" })
    expect.error("invalid_config", tree.add_child, tree, { nmae = "another" })
  end))

  it("stops its children together", trees.test(function(pm)
    local tree = factory(pm, { stop = "wait", directory = directory, shutdown_timeout = "1h" })
    tree:add_child()
    tree:add_child()
    local stop = titan.go(tree.stop, tree)
    proc.await("both hooks", function()
      return #(proc.read(directory .. "/journal") or "") == 2 * #"worker-1 stops\n"
    end)
    pm:kill "worker-1"
    pm:kill "worker-2"
    stop:await()
    assert.equal("stopped", tree:status())
  end))
end)
