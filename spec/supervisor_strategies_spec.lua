local expect = require "support.expect"
local proc = require "support.proc"
local restarts = require "support.restarts"
local titan = require "titan"
local trees = require "support.trees"

proc.forget_leaks()

-- A running tree of a, b and c, and what is told from now on. `changes` are those of the children,
-- by their names.
local function running(pm, strategy, changes)
  local told = trees.record(pm)
  local children = {}
  for i, name in ipairs { "a", "b", "c" } do
    children[i] = trees.child(name, changes and changes[name])
  end
  local tree = pm:create_supervisor { strategy = strategy, children = children }
  tree:start()
  trees.take(told, 3)
  return tree, told
end

describe("a crash under", function()
  it("one_for_one restarts the child alone", trees.test(function(pm)
    local tree, told = running(pm, "one_for_one")
    local before = trees.pids(pm, "a", "b", "c")
    local proxy, id = tree:child "b", tree:child("b"):__id()
    pm:kill "b"
    assert.same({ "crash b", "ready b" }, trees.take(told, 2))
    local after = trees.pids(pm, "a", "b", "c")
    assert.equal(before.a, after.a)
    assert.not_equal(before.b, after.b)
    assert.equal(before.c, after.c)
    assert.equal(proxy, tree:child "b")
    assert.equal(id, proxy:__id())
    assert.equal("alive", proxy:echo "alive")
    assert.equal(1, trees.entry(tree, "b").restarts)
  end))

  it("one_for_all restarts all, in order", trees.test(function(pm)
    local tree, told = running(pm, "one_for_all")
    local proxies = { tree:child "a", tree:child "b", tree:child "c" }
    pm:kill "b"
    assert.same({ "crash b", "stop c", "stop a", "ready a", "ready b", "ready c" },
      trees.take(told, 6))
    for i, name in ipairs { "a", "b", "c" } do
      assert.equal(proxies[i], tree:child(name))
      assert.equal(name, proxies[i]:echo(name))
    end
  end))

  it("rest_for_one restarts it and those after it, in order", trees.test(function(pm)
    local _, told = running(pm, "rest_for_one")
    local a = pm:get_process_info("a").pid
    pm:kill "b"
    assert.same({ "crash b", "stop c", "ready b", "ready c" }, trees.take(told, 4))
    assert.equal(a, pm:get_process_info("a").pid)
    pm:kill "c"
    assert.same({ "crash c", "ready c" }, trees.take(told, 2))
    pm:kill "a"
    assert.same({ "crash a", "stop c", "stop b", "ready a", "ready b", "ready c" },
      trees.take(told, 6))
  end))

  it("simple_one_for_one restarts the child alone", trees.test(function(pm)
    local tree = pm:create_supervisor {
      strategy = "simple_one_for_one", children = { trees.child "worker" },
    }
    tree:start()
    assert.same({}, tree:which_children())
    local first, second = tree:add_child(), tree:add_child()
    local pid = second:pid()
    restarts.crash(pm, "worker-1")
    assert.equal("alive", first:echo "alive")
    assert.equal(pid, second:pid())
  end))

  it("one_for_all waits for the end of those that go down", trees.test(function(pm)
    local tree, told = running(pm, "one_for_all", { a = { stop = "wait", shutdown_timeout = 100 } })
    pm:kill "c"
    trees.await_child(tree, "a", "stopping")
    assert.equal("a stopping, b stopped, c crashed", trees.statuses(tree))
    assert.same({ "crash c", "stop b", "stop a", "ready a", "ready b", "ready c" },
      trees.take(told, 6))
  end))

  it("one_for_all of two children at once is one restart of all", trees.test(function(pm)
    local tree, told = running(pm, "one_for_all")
    pm:kill "a"
    pm:kill "c"
    proc.await("the restart", function()
      return trees.statuses(tree) == "a running, b running, c running" and told[#told] == "ready c"
    end)
    local ready = 0
    for _, what in ipairs(told) do
      ready = ready + (what:find "ready" and 1 or 0)
    end
    assert.equal(3, ready)
  end))

  it("one_for_all leaves an optional child alone, and all for an optional one",
    trees.test(function(pm)
      local tree, told = running(pm, "one_for_all", { b = { optional = true } })
      local pid = tree:child("b"):pid()
      pm:kill "a"
      assert.same({ "crash a", "stop c", "ready a", "ready c" }, trees.take(told, 4))
      assert.equal(pid, tree:child("b"):pid())
      pm:kill "b"
      assert.same({ "crash b", "ready b" }, trees.take(told, 2))
    end))

  it("one_for_all leaves those down that are to be", trees.test(function(pm)
    local tree, told = running(pm, "one_for_all", { b = { restart = "temporary" } })
    pm:kill "b"
    assert.same({ "crash b" }, trees.take(told, 1))
    trees.await_child(tree, "b", "stopped")
    pm:kill "a"
    assert.same({ "crash a", "stop c", "ready a", "ready c" }, trees.take(told, 4))
    assert.equal("a running, b stopped, c running", trees.statuses(tree))
  end))
end)

describe("a child", function()
  it("that is permanent comes back after every end", trees.test(function(pm)
    local tree, told = running(pm)
    tree:child("a"):leave(0)
    assert.same({ "stop a", "ready a" }, trees.take(told, 2))
    tree:child("a"):leave(3)
    assert.same({ "crash a", "ready a" }, trees.take(told, 2))
    assert.equal(2, trees.entry(tree, "a").restarts)
  end))

  it("that is permanent may leave so often, no more", trees.test({
    restart_policy = restarts.soon { max_restarts = 1 },
  }, function(pm)
    local tree, told = running(pm)
    local next_failed = proc.listen(pm, "child:failed")
    tree:child("a"):leave(0)
    trees.take(told, 2)
    tree:child("a"):leave(0)
    local failed = next_failed()
    assert.equal("a", failed.name)
    expect.part("is permanent", failed.reason)
    assert.equal("a failed, b running, c running", trees.statuses(tree))
  end))

  it("that is transient comes back after a crash, not after a clean end",
    trees.test(function(pm)
      local tree, told = running(pm, nil, { a = { restart = "transient" } })
      tree:child("a"):leave(3)
      assert.same({ "crash a", "ready a" }, trees.take(told, 2))
      local id = tree:child("a"):__id()
      tree:child("a"):leave(0)
      assert.same({ "stop a" }, trees.take(told, 1))
      assert.equal("stopped", trees.entry(tree, "a").status)
      assert.equal("stopped", pm:get_process_info(id).status)
      assert.is_nil(pm:discover "a")
    end))

  it("that is temporary never comes back", trees.test(function(pm)
    local tree, told = running(pm, nil, { a = { restart = "temporary", critical = true } })
    local id = tree:child("a"):__id()
    pm:kill "a"
    assert.same({ "crash a" }, trees.take(told, 1))
    trees.await_child(tree, "a", "stopped")
    assert.equal("running", tree:status())
    assert.is_nil(pm:discover "a")
    assert.equal("crashed", pm:get_process_info(id).status)
    expect.part("SIGKILL", trees.entry(tree, "a").last_error)
  end))

  it("that somebody stops on purpose stays down", trees.test(function(pm)
    local tree, told = running(pm, "one_for_all")
    assert.is_true(pm:stop_process "b")
    assert.same({ "stop b" }, trees.take(told, 1))
    assert.equal("a running, b stopped, c running", trees.statuses(tree))
    pm:kill "a"
    assert.same({ "crash a", "stop c", "ready a", "ready c" }, trees.take(told, 4))
  end))

  it("that somebody stops while it is down stays down", trees.test({
    restart_policy = restarts.late(),
  }, function(pm)
    local tree = running(pm)
    pm:kill "b"
    trees.await_child(tree, "b", "crashed")
    assert.is_true(pm:stop_process "b")
    assert.equal("a running, b stopped, c running", trees.statuses(tree))
    assert.is_true(tree:stop())
  end))

  it("that is optional is not waited for", trees.test(function(pm)
    local directory = proc.directory()
    local tree = pm:create_supervisor { children = {
      trees.child("a", { plan = { "wait" }, directory = directory, optional = true }),
      trees.child "b",
    } }
    tree:start()
    assert.equal("a starting, b running", trees.statuses(tree))
    io.open(directory .. "/go", "w"):close()
    trees.await_child(tree, "a", "running")
    tree:stop()
    proc.remove(directory)
  end))
end)

describe("a child that crashes too often", function()
  local function overdone(pm, critical)
    local told = trees.record(pm)
    local tree = pm:create_supervisor { name = "tree", max_restarts = 2, children = {
      trees.child "a", trees.child("b", { critical = critical }), trees.child "c",
    } }
    tree:start()
    restarts.crash(pm, "b")
    restarts.crash(pm, "b")
    trees.take(told, 7)
    pm:kill "b"
    return tree, told
  end

  it("is left failed and reported, if it is not critical", trees.test(function(pm)
    local next_failed = proc.listen(pm, "child:failed")
    local tree, told = overdone(pm, false)
    local failed = next_failed()
    assert.equal("tree", failed.supervisor)
    assert.equal("b", failed.name)
    assert.is_false(failed.critical)
    expect.part("was killed by SIGKILL", failed.reason)
    assert.equal("a running, b failed, c running", trees.statuses(tree))
    local entry = trees.entry(tree, "b")
    assert.equal(2, entry.restarts)
    expect.part("was killed by SIGKILL", entry.last_error)
    assert.is_nil(entry.pid)
    assert.is_nil(pm:discover "b")
    assert.same({ "crash b" }, trees.take(told, 1))
  end))

  it("stops the tree, if it is critical", trees.test(function(pm)
    local next_failed = proc.listen(pm, "supervisor:failed")
    local tree, told = overdone(pm, true)
    local failed = next_failed()
    assert.equal("tree", failed.name)
    assert.is_nil(failed.parent)
    expect.part({ 'child "b" is critical', "given up after 2 restarts", "SIGKILL" }, failed.reason)
    assert.equal("worker_lost", failed.error.code)
    expect.part({ 'supervisor "tree" gave up', "b: was killed by SIGKILL", "b is up",
      "b was given up" }, failed.error.message)
    assert.equal("stopped", tree:status())
    assert.same({ "crash b", "stop c", "stop a" }, trees.take(told, 3))
    tree:start()
    assert.equal("a running, b running, c running", trees.statuses(tree))
  end))

  it("inside one window, not over its life", trees.test(function(pm)
    local tree = pm:create_supervisor { max_restarts = 1, window = 100, children = {
      trees.child("a", { critical = true }),
    } }
    tree:start()
    for restart = 1, 3 do
      restarts.crash(pm, "a")
      assert.equal(restart, trees.entry(tree, "a").restarts)
      titan.sleep(110) -- the window, from before the crash on
    end
    assert.equal("running", tree:status())
  end))

  it("is counted once for each crash, however it was noticed", trees.test(function(pm)
    local tree = pm:create_supervisor { max_restarts = 5, children = trees.children("a") }
    local worker = tree:start():child "a"
    for restart = 1, 5 do
      local call = worker.async:hang()
      restarts.crash(pm, "a")
      expect.error("worker_lost", call.await, call)
      assert.equal(restart, trees.entry(tree, "a").restarts)
    end
    assert.equal("running", trees.entry(tree, "a").status)
  end))
end)

describe("a backoff", function()
  -- The first restart comes at once, the second of a window would be too late for any test.
  local function policy(window)
    return restarts.late { delay = 0, window = window }
  end

  it("grows with the restarts inside the window", trees.test({
    restart_policy = policy "1h",
  }, function(pm)
    local tree = pm:create_supervisor { children = trees.children("a") }
    tree:start()
    restarts.crash(pm, "a")
    pm:kill "a"
    trees.await_child(tree, "a", "crashed")
    expect.part("to be started again",
      expect.error("worker_lost", tree:child("a").echo, tree:child "a").message)
  end))

  it("does not grow with those before it", trees.test({
    restart_policy = policy(50),
  }, function(pm)
    local tree = pm:create_supervisor { children = trees.children("a") }
    tree:start()
    for _ = 1, 3 do
      restarts.crash(pm, "a")
      titan.sleep(60) -- the window
    end
  end))

  it("of one child does not delay another", trees.test({
    restart_policy = policy "1h",
  }, function(pm)
    local tree = pm:create_supervisor { children = trees.children("a", "b") }
    tree:start()
    restarts.crash(pm, "a")
    pm:kill "a"
    trees.await_child(tree, "a", "crashed")
    restarts.crash(pm, "b")
    assert.equal("a crashed, b running", trees.statuses(tree))
  end))
end)

describe("the policy of a child", function()
  -- How often it comes back.
  local function restarts_of(pm, declaration)
    local next_failed = proc.listen(pm, "child:failed")
    local tree = pm:create_supervisor(declaration)
    tree:start()
    local failed
    titan.go(function()
      failed = next_failed()
    end)
    proc.await("its end", function()
      pm:kill "a"
      return failed
    end)
    return trees.entry(tree, "a").restarts
  end

  local late_config = { restart_policy = restarts.late { max_restarts = 1 } }
  local soon = { delay = 0, backoff = { initial = 0 } }

  it("is that of the config", trees.test({
    restart_policy = restarts.soon { max_restarts = 1 },
  }, function(pm)
    assert.equal(1, restarts_of(pm, { children = trees.children("a") }))
  end))

  it("over which goes that of the supervisor, key by key", trees.test(late_config, function(pm)
    assert.equal(1, restarts_of(pm, { delay = soon.delay, backoff = soon.backoff,
      children = trees.children("a") }))
  end))

  it("over which goes its own, key by key", trees.test(late_config, function(pm)
    assert.equal(3, restarts_of(pm, { delay = soon.delay, max_restarts = 2, children = {
      trees.child("a", { max_restarts = 3, backoff = soon.backoff }),
    } }))
  end))

  it("over which goes that of its options", trees.test(late_config, function(pm)
    assert.equal(4, restarts_of(pm, { delay = soon.delay, max_restarts = 2, children = {
      trees.child("a", { max_restarts = 3, backoff = soon.backoff,
        options = { restart_policy = { max_restarts = 4 } } }),
    } }))
  end))
end)
