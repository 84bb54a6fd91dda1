local expect = require "support.expect"
local proc = require "support.proc"
local restarts = require "support.restarts"
local titan = require "titan"
local trees = require "support.trees"

proc.forget_leaks()

local function inner(name, declaration, changes)
  local spec = changes or {}
  spec.name, spec.supervisor = name, declaration
  return spec
end

describe("a supervisor under another", function()
  it("starts and stops in its place", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a",
      inner("m", { children = {
        trees.child "b", inner("n", { children = trees.children("c", "d") }), trees.child "e",
      } }),
      trees.child "f",
    } }
    tree:start()
    assert.equal("running", tree:child("m"):child("n"):status())
    tree:stop()
    assert.same({ "ready a", "ready b", "ready c", "ready d", "ready e", "ready f",
      "stop f", "stop e", "stop d", "stop c", "stop b", "stop a" }, trees.take(told, 12))
    assert.equal("stopped", tree:child("m"):child("n"):status())
  end))

  it("keeps its crashes to itself", trees.test(function(pm)
    local tree = pm:create_supervisor { strategy = "one_for_all", children = {
      trees.child "a", inner("m", { children = trees.children("b", "c") }),
    } }
    tree:start()
    local before = trees.pids(pm, "a", "c")
    restarts.crash(pm, "b")
    assert.same(before, trees.pids(pm, "a", "c"))
    assert.equal(0, trees.entry(tree, "m").restarts)
  end))

  it("that gives up is a crash of the one above", trees.test(function(pm)
    local next_failed = proc.listen(pm, "supervisor:failed")
    local tree = pm:create_supervisor { name = "tree", children = {
      trees.child "a",
      inner("m", { max_restarts = 0, children = {
        trees.child("b", { critical = true }), trees.child "c",
      } }),
    } }
    tree:start()
    local told = trees.record(pm)
    pm:kill "b"
    local failed = next_failed()
    assert.equal("m", failed.name)
    assert.equal("tree", failed.parent)
    expect.part('child "b" is critical', failed.reason)
    assert.same({ "crash b", "stop c", "ready b", "ready c" }, trees.take(told, 4))
    local entry = trees.await_child(tree, "m", "running")
    assert.equal(1, entry.restarts)
    assert.equal("alive", tree:child("m"):child("b"):echo "alive")
  end))

  it("that gives up takes its group along", trees.test(function(pm)
    local tree = pm:create_supervisor { strategy = "rest_for_one", children = {
      trees.child "a",
      inner("m", { max_restarts = 0, children = { trees.child("b", { critical = true }) } }),
      trees.child "c",
    } }
    tree:start()
    local told = trees.record(pm)
    pm:kill "b"
    assert.same({ "crash b", "stop c", "ready b", "ready c" }, trees.take(told, 4))
  end))

  it("goes down and comes back with its group", trees.test(function(pm)
    local tree = pm:create_supervisor { strategy = "one_for_all", children = {
      inner("m", { children = trees.children("b", "c") }), trees.child "a",
    } }
    tree:start()
    local told = trees.record(pm)
    pm:kill "a"
    assert.same({ "crash a", "stop c", "stop b", "ready b", "ready c", "ready a" },
      trees.take(told, 6))
    assert.equal("running", tree:child("m"):status())
  end))

  it("that gives up too often is given up", trees.test(function(pm)
    local tree = pm:create_supervisor { max_restarts = 1, children = {
      trees.child "a",
      inner("m", { max_restarts = 0, children = { trees.child("b", { critical = true }) } }),
    } }
    tree:start()
    restarts.await_status(pm, "b", "running")
    local id = pm:discover("b"):__id()
    pm:kill "b"
    proc.await("the restart", function()
      local worker = pm:discover "b"
      return worker and worker:__id() ~= id
    end)
    trees.await_child(tree, "m", "running")
    local next_failed = proc.listen(pm, "child:failed")
    pm:kill "b"
    local names = { next_failed().name, next_failed().name }
    table.sort(names)
    assert.same({ "b", "m" }, names)
    assert.equal("a running, m failed", trees.statuses(tree))
    assert.equal("stopped", tree:child("m"):status())
  end))

  it("that is critical takes the whole tree with it", trees.test(function(pm)
    local next_failed = proc.listen(pm, "supervisor:failed")
    local tree = pm:create_supervisor { name = "root", max_restarts = 0, children = {
      trees.child "a",
      inner("m", { max_restarts = 0, children = {
        inner("n", { max_restarts = 0, children = { trees.child("b", { critical = true }) } },
          { critical = true }),
      } }, { critical = true }),
    } }
    tree:start()
    pm:kill "b"
    local names, last = {}, nil
    for i = 1, 3 do
      last = next_failed()
      names[i] = last.name
    end
    assert.same({ "n", "m", "root" }, names)
    expect.part({ 'supervisor "root" gave up', "in supervisor m:", "in supervisor n:",
      "b: was killed by SIGKILL" }, last.error.message)
    assert.equal("stopped", tree:status())
    for _, info in ipairs(pm:get_all_processes()) do
      assert.is_nil(info.pid and proc.stat(info.pid))
    end
  end))

  it("that does not start fails the start of the one above, if critical", trees.test(function(pm)
    local directory = proc.directory()
    local told = trees.record(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a",
      inner("m", { children = {
        trees.child "b",
        trees.child("c", { plan = { "fail" }, directory = directory, critical = true }),
      } }, { critical = true }),
      trees.child "d",
    } }
    local err = expect.error("spawn_failed", tree.start, tree)
    expect.part({ "no luck", "stderr: the egg is cold" }, err.message)
    assert.same({ "ready a", "ready b", "stop b", "stop a" }, trees.take(told, 4))
    assert.equal("stopped", tree:status())
    proc.remove(directory)
  end))

  it("that does not start leaves the rest alone, if not", trees.test(function(pm)
    local directory = proc.directory()
    local next_failed = proc.listen(pm, "child:start-failed")
    local tree = pm:create_supervisor { name = "tree", children = {
      inner("m", { children = {
        trees.child("c", { plan = { "fail", "live" }, directory = directory, critical = true }),
      } }),
      trees.child "d",
    } }
    tree:start()
    local first, second = next_failed(), next_failed()
    assert.same({ "m", "c" }, { first.supervisor, first.name })
    assert.same({ "tree", "m" }, { second.supervisor, second.name })
    expect.part("no luck", second.error.message)
    assert.equal("m failed, d running", trees.statuses(tree))
    assert.equal("running", tree:restart_child("m"):status())
    assert.equal("alive", pm:discover("c"):echo "alive")
    tree:stop()
    proc.remove(directory)
  end))

  it("that is stopped by itself stays down, and can be started by itself",
    trees.test(function(pm)
      local tree = pm:create_supervisor { strategy = "one_for_all", children = {
        trees.child "a", inner("m", { children = trees.children("b") }),
      } }
      tree:start()
      tree:child("m"):stop()
      assert.equal("a running, m stopped", trees.statuses(tree))
      restarts.crash(pm, "a")
      assert.equal("a running, m stopped", trees.statuses(tree))
      tree:child("m"):start()
      assert.equal("a running, m running", trees.statuses(tree))
      restarts.crash(pm, "b")
      local told = trees.record(pm)
      tree:stop()
      assert.same({ "stop b", "stop a" }, trees.take(told, 2))
    end))

  it("may be started by itself while it waits for its restart", trees.test({
    restart_policy = restarts.soon { delay = 50 },
  }, function(pm)
    local tree = pm:create_supervisor { children = {
      inner("m", { max_restarts = 0, children = { trees.child("b", { critical = true }) } }),
    } }
    tree:start()
    pm:kill "b"
    trees.await_child(tree, "m", "crashed")
    tree:child("m"):start()
    trees.await_child(tree, "m", "running")
    titan.sleep(80) -- the backoff, and more
    assert.equal("m running", trees.statuses(tree))
    assert.equal("alive", pm:discover("b"):echo "alive")
    tree:stop()
    assert.is_nil(pm:discover "b")
  end))
end)
