local core = require "titan.core"
local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
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

describe("a child that dies while it starts", function()
  local function with(pm, beginning, changes)
    changes.plan, changes.directory = { beginning }, directory
    return pm:create_supervisor { name = "tree", children = {
      trees.child "a", trees.child("b", changes), trees.child "c",
    } }
  end

  for beginning, reason in pairs { kill = "was killed by SIGKILL", fail = "no luck" } do
    it("by " .. beginning .. " is reported, and the rest come up", trees.test(function(pm)
      local next_failed = proc.listen(pm, "child:start-failed")
      pm:on("process:crash", function()
        error "it never lived"
      end)
      local tree = with(pm, beginning, {})
      tree:start()
      local failed = next_failed()
      assert.equal("tree", failed.supervisor)
      assert.equal("b", failed.name)
      assert.is_false(failed.critical)
      assert.equal("spawn_failed", failed.error.code)
      expect.part({ 'worker "b" did not start', reason, "stderr: the egg is cold" },
        failed.error.message)
      assert.equal("a running, b failed, c running", trees.statuses(tree))
      expect.part(reason, trees.entry(tree, "b").last_error)
      assert.equal(0, trees.entry(tree, "b").restarts)
      assert.is_nil(pm:discover "b")
    end))

    it("by " .. beginning .. " ends the start if it is critical", trees.test(function(pm)
      local next_failed = proc.listen(pm, "child:start-failed")
      local told = trees.record(pm)
      local tree = with(pm, beginning, { critical = true })
      local err = expect.error("spawn_failed", tree.start, tree)
      expect.part({ reason, "stderr: the egg is cold" }, err.message)
      local failed = next_failed()
      assert.is_true(failed.critical)
      assert.equal(err, failed.error)
      assert.same({ "ready a", "stop a" }, trees.take(told, 2))
      assert.equal("a stopped, b failed, c stopped", trees.statuses(tree))
      assert.equal("stopped", tree:status())
    end))
  end

  it("after more words than a pipe holds is reported with the last", trees.test(function(pm)
    local next_failed = proc.listen(pm, "child:start-failed")
    with(pm, "flood", {}):start()
    expect.part({ "was killed by SIGKILL", "stderr: ash 4000 " }, next_failed().error.message)
  end))

  it("is not reported when a stop made it die", trees.test(function(pm)
    pm:on("child:start-failed", function()
      error "it was to end"
    end)
    local tree = with(pm, "wait", { shutdown_timeout = 0 })
    local start = titan.go(tree.start, tree)
    restarts.await_status(pm, "b", "starting")
    tree:stop()
    expect.error("shutting_down", start.await, start)
  end))
end)

describe("a child", function()
  it("that is stopped by SIGSTOP is killed at its deadline", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a", trees.child("b", { shutdown_timeout = 50 }),
    } }
    local worker = tree:start():child "b"
    local pid = pm:get_process_info("b").pid
    luv.kill(pid, "sigstop")
    proc.await_stopped(pid)
    tree:stop()
    local info = pm:get_process_info(worker:__id())
    assert.equal("SIGKILL", info.exit_signal)
    assert.equal("timeout", info.last_error.code)
    assert.is_false(proc.alive(pid))
    assert.equal("stopped", tree:status())
  end))

  it("that fills its stderr while it crashes comes back", trees.test(function(pm)
    local next_crash = proc.listen(pm, "process:crash")
    local tree = pm:create_supervisor { children = trees.children("a") }
    local worker = tree:start():child "a"
    for life = 1, 2 do
      expect.error("worker_lost", worker.flood_and_die, worker)
      expect.part("ash 4000 ", next_crash().stderr)
      proc.await("the next life", function()
        local info = pm:get_process_info "a"
        return info.restart_count == life and info.status == "running"
      end)
    end
    assert.equal("alive", worker:echo "alive")
  end))

  it("that crashes while its group goes down is one crash of the group", trees.test(function(pm)
    local tree = pm:create_supervisor { strategy = "one_for_all", children = {
      trees.child("a", { stop = "wait", directory = directory, shutdown_timeout = "1h" }),
      trees.child "b",
    } }
    tree:start()
    pm:kill "b"
    proc.await("the hook of a", function()
      return proc.read(directory .. "/journal") == "a stops\n"
    end)
    pm:kill "a"
    trees.await_child(tree, "b", "running")
    assert.equal("a running, b running", trees.statuses(tree))
    assert.equal(0, trees.entry(tree, "a").restarts)
    assert.equal(1, trees.entry(tree, "b").restarts)
    local stop = titan.go(tree.stop, tree)
    trees.await_child(tree, "a", "stopping")
    pm:kill "a"
    assert.is_true(stop:await())
  end))
end)

describe("a manager that is closed", function()
  for what, stage in pairs {
    ["wait for a backoff"] = { policy = restarts.late(), plan = { "live" }, status = "crashed" },
    ["start a child again"] = { policy = restarts.soon(), plan = { "live", "wait" },
      status = "starting" },
  } do
    it("while its supervisors " .. what .. " leaves nothing", managed({
      restart_policy = stage.policy,
    }, function(pm)
      local tree = pm:create_supervisor { children = {
        { name = "inner", supervisor = { children = {
          trees.child("a", { plan = stage.plan, directory = directory }), trees.child "b",
        } } },
        trees.child "c",
      } }
      tree:start()
      local pids = trees.pids(pm, "a", "b", "c")
      pm:kill "a"
      restarts.await_status(pm, "a", stage.status)
      local again = stage.status == "starting" and pm:get_process_info("a").pid or pids.a
      pm:close()
      proc.await_gone(pids.a, pids.b, pids.c, again)
      assert.equal("stopped", tree:status())
      assert.is_true(tree:stop())
      expect.error("destroyed", tree.start, tree)
    end))
  end

  it("ends what waits for its supervisors", managed({
    restart_policy = restarts.soon(),
  }, function(pm)
    local starting = pm:create_supervisor { children = {
      trees.child("a", { plan = { "wait" }, directory = directory }),
    } }
    local stopping = pm:create_supervisor { children = {
      trees.child("b", { stop = "wait", shutdown_timeout = "1h" }),
      trees.child("c", { stop = "wait", shutdown_timeout = "1h" }),
    } }
    local running = pm:create_supervisor { children = {} }
    stopping:start()
    running:start()
    local start = titan.go(starting.start, starting)
    local removal = titan.go(stopping.remove_child, stopping, "b")
    local stop = titan.go(stopping.stop, stopping)
    local adding = titan.go(running.add_child, running,
      trees.child("d", { plan = { "wait" }, directory = directory }))
    restarts.await_status(pm, "d", "starting")
    pm:close()
    expect.error("destroyed", start.await, start)
    expect.error("destroyed", adding.await, adding)
    assert.is_true(stop:await())
    assert.is_true(removal:await())
  end))

  it("inside on_child_crash leaves nothing", managed({
    restart_policy = restarts.soon(),
  }, function(pm)
    local closed
    local tree = pm:create_supervisor { children = trees.children("a", "b"),
      on_child_crash = function()
        pm:close()
        closed = true
        return "restart"
      end }
    tree:start()
    local pids = trees.pids(pm, "a", "b")
    pm:kill "a"
    proc.await("the end", function()
      return closed
    end)
    proc.await_gone(pids.a, pids.b)
    assert.equal("stopped", tree:status())
  end))
end)

describe("stop", function()
  it("is over when it comes just as a child is to start again", trees.test(function(pm)
    for _ = 1, 10 do
      local tree = pm:create_supervisor { children = trees.children("a") }
      tree:start()
      pm:kill "a"
      trees.await_child(tree, "a", "crashed")
      repeat
        titan.sleep(0)
      until trees.entry(tree, "a").status == "starting"
      tree:stop()
      assert.equal("a stopped", trees.statuses(tree))
    end
  end))
end)

describe("a child that waits for the zygote", function()
  -- The zygote is dead, so that what is to start waits, when "a" goes and takes "b" with it.
  it("is not forked after it was told to stop", trees.test(function(pm)
    local tree = pm:create_supervisor { strategy = "rest_for_one",
      children = trees.children("a", "b") }
    tree:start()
    for _ = 1, 5 do
      luv.kill(core.manager_zygote_pid(pm.handle), "sigkill")
      pm:kill "b"
      trees.await_child(tree, "b", "crashed")
      repeat
        titan.sleep(0)
      until trees.entry(tree, "b").status == "starting"
      pm:kill "a"
      for _, name in ipairs { "a", "b" } do
        proc.await(name .. " again", function()
          local info = pm:get_process_info(name)
          return info and info.status == "running" and trees.entry(tree, name).status == "running"
        end)
      end
      local before = trees.pids(pm, "b").b
      pm:kill "b"
      proc.await("b once more", function()
        local pid = trees.pids(pm, "b").b
        return pid and pid ~= before and trees.entry(tree, "b").status == "running"
      end)
    end
  end))
end)

describe("random kills", function()
  it("over a tree of three levels leave it as it was", trees.test({
    restart_policy = restarts.soon { max_restarts = 1000000, delay = 1,
      backoff = { type = "fixed", initial = 1, jitter = 1 } },
  }, function(pm)
    local function level(prefix, strategy, below)
      return { strategy = strategy, children = {
        trees.child(prefix .. "1", { critical = true }),
        { name = prefix .. "sub", critical = true, supervisor = below or {} },
        trees.child(prefix .. "2", { shutdown_timeout = 0 }), trees.child(prefix .. "3"),
      } }
    end
    local tree = pm:create_supervisor(level("a", "rest_for_one",
      level("b", "one_for_all", level("c", "one_for_one"))))
    tree:start()
    local names = {}
    for _, info in ipairs(pm:get_all_processes()) do
      names[#names + 1] = info.name
    end
    assert.equal(9, #names)

    local function all_up(supervisor)
      for _, entry in ipairs(supervisor:which_children()) do
        local inner = entry.kind == "supervisor" and supervisor:child(entry.name)
        if entry.status ~= "running" or inner and not all_up(inner) then
          return false
        end
      end
      return supervisor:status() == "running"
    end

    local fds, children = proc.fds(), #proc.children()
    local random, started = 4711, luv.hrtime()
    local kills = 0
    while luv.hrtime() - started < 2e9 do
      random = (random * 1103515245 + 12345) % 2147483648
      local name = names[(random >> 16) % #names + 1]
      kills = kills + (pm:kill(name) and 1 or 0)
      titan.sleep((random >> 8) % 8)
    end
    proc.await("all up", function()
      return all_up(tree)
    end)
    assert.is_true(kills > 20)
    for _, name in ipairs(names) do
      assert.equal(name, pm:discover(name):echo(name))
    end
    assert.equal(fds, proc.fds())
    assert.equal(children, #proc.children())
  end))
end)
