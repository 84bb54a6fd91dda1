local expect = require "support.expect"
local proc = require "support.proc"
local restarts = require "support.restarts"
local titan = require "titan"
local trees = require "support.trees"

proc.forget_leaks()

local function refused(declaration)
  return expect.error("invalid_config", titan.supervisor, declaration).message
end

local function with_child(child)
  return { children = { trees.child "first", child } }
end

describe("titan.supervisor", function()
  for path, declaration in pairs {
    ["supervisor.strategi"] = { strategi = "one_for_all" },
    ["supervisor.strategy"] = { strategy = "one_for_al" },
    ["supervisor.max_restart"] = { max_restart = 1 },
    ["supervisor.max_restarts"] = { max_restarts = -1 },
    ["supervisor.window"] = { window = "soon" },
    ["supervisor.backoff.factr"] = { backoff = { factr = 2 } },
    ["supervisor.backoff.type"] = { backoff = { type = "exponental" } },
    ["supervisor.on_child_crash"] = { on_child_crash = "restart" },
    ["supervisor.children"] = { children = trees.PHOENIX },
    ["supervisor.children[1]"] = { children = { trees.PHOENIX } },
    ["supervisor.children[2].proces"] = with_child { proces = trees.PHOENIX },
    ["supervisor.children[2]"] = with_child { name = "nothing" },
    ["supervisor.children[2].process"] = with_child { process = "fault_workers.phenix" },
    ["supervisor.children[2].restart"] = with_child { process = trees.PHOENIX, restart = "always" },
    ["supervisor.children[2].critcal"] = with_child { process = trees.PHOENIX, critcal = true },
    ["supervisor.children[2].name"] = with_child { process = trees.PHOENIX, name = "a b" },
    ["supervisor.children[2].optional"] = with_child {
      process = trees.PHOENIX, critical = true, optional = true,
    },
    ["supervisor.children[2].order"] = with_child { process = trees.PHOENIX, order = 1 },
    ["supervisor.children[2].shutdown_timeout"] = with_child {
      process = trees.PHOENIX, shutdown_timeout = -1,
    },
    ["supervisor.children[2].backoff.jitter"] = with_child {
      process = trees.PHOENIX, backoff = { jitter = 2 },
    },
    ["supervisor.children[2].options.envv"] = with_child {
      process = trees.PHOENIX, options = { envv = {} },
    },
    ["supervisor.children[2].options.restart_policy.windw"] = with_child {
      process = trees.PHOENIX, options = { restart_policy = { windw = 1 } },
    },
    ["supervisor.children[2].options.name"] = with_child {
      process = trees.PHOENIX, options = { name = "other" },
    },
    ["supervisor.children[2].options.sice"] = with_child {
      pool = trees.PHOENIX, options = { sice = 3 },
    },
    ["supervisor.children[2].supervisor.children[1].critcal"] = with_child {
      supervisor = { children = { { process = trees.PHOENIX, critcal = true } } },
    },
    ["supervisor.children[2].supervisor.children[1].supervisor.strategi"] = with_child {
      supervisor = { children = { { supervisor = { strategi = "one_for_one" } } } },
    },
    ["supervisor.methods.db.child.critcal"] = { methods = {
      db = { child = { critcal = true }, function() end },
    } },
    ["supervisor.methods.db.chld"] = { methods = { db = { chld = {}, function() end } } },
  } do
    it("refuses " .. path, function()
      expect.part({ path }, refused(declaration))
    end)
  end

  it("knows what was meant", function()
    expect.part('did you mean "strategy"?', refused { strategi = "one_for_all" })
    expect.part("one_for_all", refused { strategy = "one_for_al" })
    expect.part('did you mean "process"?', refused(with_child { proces = trees.PHOENIX }))
  end)

  it("wants one thing a child", function()
    expect.part("is a process and a supervisor", refused(with_child {
      process = trees.PHOENIX, supervisor = {},
    }))
  end)

  it("wants a name for each child", function()
    expect.part({ "supervisor.children[2]", 'a second child called "first"' },
      refused(with_child(trees.child "first")))
  end)

  it("wants one template for a simple_one_for_one", function()
    for _, children in ipairs { {}, trees.children("a", "b") } do
      expect.part({ "supervisor.children", "exactly one child" },
        refused { strategy = "simple_one_for_one", children = children })
    end
  end)

  it("refuses before anything is started", trees.test(function(pm)
    expect.error("invalid_config", pm.create_supervisor, pm, { children = {
      trees.child "a", { name = "b", supervisor = { children = { { proces = "c" } } } },
    } })
    expect.error("invalid_config", pm.create_supervisor, pm, {}, { nmae = "tree" })
    expect.error("invalid_config", pm.create_supervisor, pm)
    assert.equal(0, #pm:get_all_processes())
  end))
end)

describe("a supervisor's declaration", function()
  it("may live in a module of its own", trees.test(function(pm)
    local tree = pm:create_supervisor "fault_workers.grove"
    assert.equal("grove", tree.name)
    assert.equal("rest_for_one", tree.strategy)
    local told = trees.record(pm)
    tree:start()
    -- By their order, then by their names.
    assert.same({ "ready ash", "ready beech", "ready oak", "ready fern" }, trees.take(told, 4))
    assert.equal("leaves", tree:child("oak"):env "SONG")
    assert.equal("supervisor", trees.entry(tree, "thicket").kind)
    assert.equal("transient", trees.entry(tree, "thicket").restart)
    assert.is_true(trees.entry(tree, "ash").critical)
    pm:kill "oak"
    assert.same({ "crash oak", "stop fern", "ready oak", "ready fern" }, trees.take(told, 4))
    assert.equal("leaves", tree:child("oak"):env "SONG")
  end))

  it("may live in a file", trees.test(function(pm)
    local directory = proc.directory {
      ["tree.lua"] = [[return { name = "filed", children = {
        { name = "a", process = "fault_workers.phoenix" } } }]],
      ["broken.lua"] = "return {",
      ["wrong.lua"] = "return { strategi = 1 }",
      ["nothing.lua"] = "",
    }
    local tree = pm:create_supervisor(directory .. "/tree.lua", { name = "mine" })
    assert.equal("mine", tree.name)
    assert.equal("alive", tree:start():child("a"):echo "alive")
    tree:stop()
    for name, part in pairs {
      broken = "broken.lua", wrong = "supervisor.strategi", nothing = "supervisor",
    } do
      expect.part(part, expect.error("invalid_config", pm.create_supervisor, pm,
        directory .. "/" .. name .. ".lua").message)
    end
    expect.part("no_such_tree", expect.error("invalid_config", pm.create_supervisor, pm,
      "no_such_tree").message)
    proc.remove(directory)
  end))

  it("may be used in several places, where the names differ", trees.test(function(pm)
    local declared = titan.supervisor { children = trees.children("a") }
    local first = pm:create_supervisor(declared)
    local second = pm:create_supervisor(declared)
    first:start()
    local next_failed = proc.listen(pm, "child:start-failed")
    second:start()
    local failed = next_failed()
    assert.equal("invalid_config", failed.error.code)
    expect.part('"a" is the name of', failed.error.message)
    assert.equal("a failed", trees.statuses(second))
    first:stop()
    second:stop()
    assert.equal("a running", trees.statuses(second:start()))
  end))

  it("with a critical child whose name is taken does not start", trees.test(function(pm)
    pm:spawn(trees.PHOENIX, { name = "b" })
    local tree = pm:create_supervisor { children = {
      trees.child "a", trees.child("b", { critical = true }),
    } }
    expect.part('"b" is the name of',
      expect.error("invalid_config", tree.start, tree).message)
    assert.equal("stopped", tree:status())
    assert.is_nil(pm:discover "a")
    assert.equal("running", pm:get_process_info("b").status)
  end))
end)

describe("the options of a child", function()
  it("are those of its process, in every life", trees.test(function(pm)
    local directory = proc.directory()
    local tree = pm:create_supervisor { children = {
      { name = "a", process = trees.PHOENIX, options = {
        options = { feather = { "red" } }, env = { SONG = "dawn" }, cwd = directory,
      } },
    } }
    local worker = tree:start():child "a"
    for _ = 1, 2 do
      assert.equal("dawn", worker:env "SONG")
      assert.same({ "red" }, worker:option "feather")
      assert.equal(directory, require("luv").fs_readlink("/proc/"
        .. pm:get_process_info("a").pid .. "/cwd"))
      restarts.crash(pm, "a")
    end
    tree:stop()
    proc.remove(directory)
  end))

  it("name the services it depends on", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child "a", trees.child("b", { options = { dependencies = { mirror = "a" } } }),
    } }
    local worker = tree:start():child "b"
    assert.equal("there", worker:ask("mirror", "echo", "there"))
    restarts.crash(pm, "b")
    restarts.crash(pm, "a")
    assert.equal("there", worker:ask("mirror", "echo", "there"))
  end))

  it("name services without which it does not start", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      trees.child("b", { critical = true, options = { dependencies = { "missing" } } }),
    } }
    expect.part({ "depends on", "missing" },
      expect.error("spawn_failed", tree.start, tree).message)
    pm:spawn(trees.PHOENIX, { name = "missing" })
    assert.equal("running", tree:start():status())
  end))

  it("may be checked by the class only where it runs", trees.test(function(pm)
    local tree = pm:create_supervisor { children = {
      { name = "a", process = trees.PHOENIX, options = { options = { print } } },
    } }
    local next_failed = proc.listen(pm, "child:start-failed")
    tree:start()
    assert.equal("invalid_config", next_failed().error.code)
    assert.equal("a failed", trees.statuses(tree))
  end))
end)
