local expect = require "support.expect"
local proc = require "support.proc"
local restarts = require "support.restarts"
local stderr_of = require "support.stderr"
local titan = require "titan"
local trees = require "support.trees"

proc.forget_leaks()

-- A running tree of a and b that asks `decide`.
local function deciding(pm, decide, changes)
  local declaration = { name = "tree", children = trees.children("a", "b"),
    on_child_crash = decide }
  for key, value in pairs(changes or {}) do
    declaration[key] = value
  end
  local tree = pm:create_supervisor(declaration)
  tree:start()
  return tree
end

local function saying(decision)
  return function()
    return decision
  end
end

describe("on_child_crash", function()
  it("is asked once for each crash, and told of it", trees.test(function(pm)
    local asked = {}
    local tree = deciding(pm, function(report, child)
      asked[#asked + 1] = { report = report, child = child }
      return "restart"
    end)
    local pid = tree:child("a"):pid()
    restarts.crash(pm, "a")
    restarts.crash(pm, "b")
    assert.equal(2, #asked)
    local report, child = asked[1].report, asked[1].child
    assert.equal("a", report.name)
    assert.equal(pid | 0, report.pid)
    assert.equal("was killed by SIGKILL", report.reason)
    assert.equal("SIGKILL", report.exit_signal)
    assert.equal("worker_lost", report.error.code)
    assert.equal(1, report.calls)
    assert.equal("a", child.name)
    assert.equal("permanent", child.restart)
    assert.equal("crashed", child.status)
    assert.equal(0, child.restarts)
    assert.equal("was killed by SIGKILL", child.last_error)
    assert.equal("b", asked[2].report.name)
  end))

  it("is not asked when a child ends as it should", trees.test(function(pm)
    local told = trees.record(pm)
    local tree = deciding(pm, function()
      error "asked"
    end)
    tree:child("a"):leave(0)
    trees.take(told, 4)
    tree:stop()
  end))

  it("may take its time, and the child is down meanwhile", trees.test(function(pm)
    local decision, decide = nil, nil
    local tree = deciding(pm, function()
      decision = titan.go(titan.sleep, "1h")
      decision:ignore()
      pcall(decision.await, decision)
      return decide
    end)
    local worker = tree:child "a"
    pm:kill "a"
    proc.await("the question", function()
      return decision
    end)
    assert.equal("a crashed, b running", trees.statuses(tree))
    expect.part("to be started again", expect.error("worker_lost", worker.echo, worker).message)
    decide = "restart"
    decision:cancel()
    trees.await_child(tree, "a", "running")
    assert.equal("alive", worker:echo "alive")
  end))

  it("returning restart restarts it within its policy", trees.test(function(pm)
    local next_failed = proc.listen(pm, "child:failed")
    local tree = deciding(pm, saying "restart", { max_restarts = 1 })
    restarts.crash(pm, "a")
    pm:kill "a"
    assert.equal("a", next_failed().name)
    assert.equal("a failed, b running", trees.statuses(tree))
  end))

  it("returning restart follows the strategy", trees.test(function(pm)
    local told = trees.record(pm)
    deciding(pm, saying "restart", { strategy = "one_for_all" })
    trees.take(told, 2)
    pm:kill "a"
    assert.same({ "crash a", "stop b", "ready a", "ready b" }, trees.take(told, 4))
  end))

  it("returning restart does not bring a temporary child back", trees.test(function(pm)
    local tree = deciding(pm, saying "restart", {
      children = { trees.child("a", { restart = "temporary" }) },
    })
    pm:kill "a"
    trees.await_child(tree, "a", "stopped")
    assert.is_nil(pm:discover "a")
  end))

  it("returning nothing restarts it", trees.test(function(pm)
    deciding(pm, saying(nil))
    restarts.crash(pm, "a")
  end))

  it("returning ignore leaves it down, and the rest alone", trees.test(function(pm)
    local tree = deciding(pm, saying "ignore", { strategy = "one_for_all" })
    local id, pid = tree:child("a"):__id(), tree:child("b"):pid()
    pm:kill "a"
    trees.await_child(tree, "a", "stopped")
    proc.await("its end", function()
      return not pm:discover "a"
    end)
    assert.equal("crashed", pm:get_process_info(id).status)
    assert.equal(pid, tree:child("b"):pid())
    assert.equal("running", tree:status())
    tree:restart_child "a"
    assert.equal("a running, b running", trees.statuses(tree))
  end))

  it("returning escalate gives the supervisor up", trees.test(function(pm)
    local next_failed = proc.listen(pm, "supervisor:failed")
    local tree = deciding(pm, saying "escalate")
    pm:kill "a"
    local failed = next_failed()
    assert.equal("tree", failed.name)
    expect.part({ 'child "a"', "on_child_crash said escalate", "killed by SIGKILL" },
      failed.reason)
    assert.equal("a stopped, b stopped", trees.statuses(tree):gsub("failed", "stopped"))
    assert.equal("stopped", tree:status())
    assert.is_nil(pm:discover "b")
  end))

  it("returning escalate tells the supervisor above", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      { name = "inner", supervisor = { children = trees.children("a"),
        on_child_crash = saying "escalate" } },
    } }
    tree:start()
    local id = tree:child("inner"):child("a"):__id()
    pm:kill "a"
    proc.await("the restart of inner", function()
      local worker = tree:child("inner"):child "a"
      return worker and worker:__id() ~= id and trees.entry(tree, "inner").status == "running"
    end)
    assert.equal(1, trees.entry(tree, "inner").restarts)
  end))

  it("returning shutdown stops the supervisor in order", trees.test(function(pm)
    pm:on("supervisor:failed", function()
      error "it did not fail"
    end)
    local told = trees.record(pm)
    local tree = deciding(pm, saying "shutdown", { children = trees.children("a", "b", "c") })
    trees.take(told, 3)
    pm:kill "b"
    assert.same({ "crash b", "stop c", "stop a" }, trees.take(told, 3))
    proc.await("the stop", function()
      return tree:status() == "stopped"
    end)
    assert.equal("a stopped, b stopped, c stopped", trees.statuses(tree))
  end))

  for what, decide in pairs {
    ["returning nonsense"] = saying "restrat",
    ["returning a table"] = saying {},
    ["that raises an error"] = function() error "out of ideas" end,
  } do
    it(what .. " is reported and taken as restart", trees.test(function(pm)
      deciding(pm, decide)
      local said = stderr_of(function()
        restarts.crash(pm, "a")
      end)
      expect.part({ "titan: on_child_crash of supervisor \"tree\"", "taken as restart" }, said)
      expect.part(what == "that raises an error" and "failed: " or "returned ", said)
    end))
  end

  it("that raises an error says which", trees.test(function(pm)
    deciding(pm, function()
      error "out of ideas"
    end)
    expect.part("out of ideas", stderr_of(function()
      restarts.crash(pm, "a")
    end))
  end))

  it("is asked about a start that failed after it had lived", trees.test(function(pm)
    local directory = proc.directory()
    local reasons = {}
    local tree = deciding(pm, function(report)
      reasons[#reasons + 1] = report.error.message
    end, { children = {
      trees.child("a", { plan = { "live", "fail", "live" }, directory = directory }),
    } })
    restarts.crash(pm, "a")
    assert.equal(2, #reasons)
    expect.part("SIGKILL", reasons[1])
    expect.part("no luck", reasons[2])
    tree:stop()
    proc.remove(directory)
  end))

  it("that comes too late changes nothing", trees.test(function(pm)
    local told = trees.record(pm)
    local wait
    local tree = deciding(pm, function()
      wait = titan.go(titan.sleep, "1h")
      wait:ignore()
      pcall(wait.await, wait)
      return "restart"
    end)
    pm:kill "a"
    trees.await_child(tree, "a", "crashed")
    tree:stop()
    wait:cancel()
    titan.sleep(30) -- the backoff, and more
    assert.same({ "ready a", "ready b", "crash a", "stop b" }, trees.take(told, 4))
    assert.equal("stopped", tree:status())
  end))
end)

describe("inside on_child_crash", function()
  it("the supervisor can be stopped", trees.test(function(pm)
    local told = trees.record(pm)
    local tree, stopped
    tree = deciding(pm, function()
      stopped = tree:stop()
      return "restart"
    end)
    pm:kill "a"
    proc.await("the stop", function()
      return stopped
    end)
    assert.equal("stopped", tree:status())
    titan.sleep(30) -- the backoff, and more
    assert.same({ "ready a", "ready b", "crash a", "stop b" }, trees.take(told, 4))
  end))

  it("the child can be removed", trees.test(function(pm)
    local tree, removed
    tree = deciding(pm, function(_, child)
      removed = tree:remove_child(child.name)
      return "restart"
    end)
    pm:kill "a"
    proc.await("the removal", function()
      return removed
    end)
    assert.equal("b running", trees.statuses(tree))
    assert.is_nil(pm:discover "a")
    expect.error("invalid_config", tree.child, tree, "a")
    tree:add_child(trees.child "a")
    assert.equal("b running, a running", trees.statuses(tree))
  end))

  it("the child can be restarted at once", trees.test({
    restart_policy = restarts.late(),
  }, function(pm)
    local tree, restarted
    tree = deciding(pm, function(_, child)
      restarted = tree:restart_child(child.name)
    end)
    local worker = tree:child "a"
    pm:kill "a"
    proc.await("the restart", function()
      return restarted
    end)
    assert.equal("alive", restarted:echo "alive")
    assert.equal(worker:__id(), restarted:__id())
    assert.equal("a running, b running", trees.statuses(tree))
  end))

  it("another child can be added", trees.test(function(pm)
    local tree
    tree = deciding(pm, function()
      tree:add_child(trees.child "c")
      return "ignore"
    end)
    pm:kill "a"
    trees.await_child(tree, "a", "stopped")
    assert.equal("a stopped, b running, c running", trees.statuses(tree))
  end))
end)
