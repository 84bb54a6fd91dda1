local expect = require "support.expect"
local managed = require "support.managed"
local program = require "support.program"
local titan = require "titan"

local MISSING = 'no process with the id or name "ecoh" is alive; did you mean "echo"?'

-- A class with these dependencies, in a file.
local function class_with(dependencies)
  return program.file('local caller = require "workers.caller"\n'
    .. "local function call(...) return caller.methods.call_dependency.fn(...) end\n"
    .. "local function aliases(...) return caller.methods.aliases.fn(...) end\n"
    .. 'return require("titan").process { all_methods_public = true, dependencies = '
    .. dependencies .. ", methods = { call_dependency = call, aliases = aliases, "
    .. "linger = { on_shutdown = true, function() require('titan').sleep(50) end } } }")
end

describe("dependencies", function()
  it("are there for the worker, by name or by alias", managed(function(pm)
    pm:spawn "workers.echo"
    pm:spawn("workers.visible", { name = "calculator" })
    local worker = pm:spawn("workers.caller", { dependencies = { "echo", "calculator" } })
    assert.same({ "calculator", "echo" }, worker:aliases())
    assert.equal("hello", worker:call_dependency("echo", "echo", "hello"))
    worker = pm:spawn("workers.caller", { dependencies = { sums = "calculator" } })
    assert.same({ "sums" }, worker:aliases())
    assert.equal(5, worker:call_dependency("sums", "add", 2, 3))
  end))

  it("may be the class's", managed(function(pm)
    pm:spawn "workers.echo"
    local file <close> = class_with '{ parrot = "echo" }'
    for _, class in ipairs { file.path, dofile(file.path) } do
      local worker = pm:spawn(class)
      assert.same({ "parrot" }, worker:aliases())
      assert.equal("hello", worker:call_dependency("parrot", "echo", "hello"))
    end
  end))

  it("of the spawn go over those of the class", managed(function(pm)
    pm:spawn "workers.echo"
    pm:spawn("workers.echo", { name = "other" })
    local file <close> = class_with '{ parrot = "missing", echo = "echo" }'
    local class = dofile(file.path)
    local worker = pm:spawn(class, { dependencies = { parrot = "other" } })
    assert.same({ "echo", "parrot" }, worker:aliases())
    assert.equal(1, worker:call_dependency("parrot", "calls"))
    assert.equal(2, pm:discover("other"):calls())
    worker = pm:spawn(file.path, { dependencies = { parrot = "other" } })
    assert.equal(3, worker:call_dependency("parrot", "calls"))
  end))

  it("that are missing fail the start", managed(function(pm)
    pm:spawn "workers.echo"
    local err = expect.error("spawn_failed", pm.spawn, pm, "workers.caller",
      { dependencies = { "ecoh" } })
    expect.part('worker "caller" did not start: it depends on "ecoh": ' .. MISSING, err.message)
    local file <close> = class_with '{ "ecoh" }'
    err = expect.error("spawn_failed", pm.spawn, pm, file.path, { name = "dependent" })
    expect.part('worker "dependent" did not start: it depends on "ecoh": ' .. MISSING, err.message)
  end))

  it("that have ended are missing", managed(function(pm)
    pm:spawn("workers.echo"):__destroy()
    expect.error("spawn_failed", pm.spawn, pm, "workers.caller", { dependencies = { "echo" } })
  end))

  it("that are starting are waited for", managed(function(pm)
    local slow = titan.go(pm.spawn, pm, "workers.starting", { options = { rest = "50ms" } })
    local worker = pm:spawn("workers.caller", { dependencies = { "starting" } })
    assert.is_true(slow:done())
    assert.is_true(worker:call_dependency("starting", "rested"))
    slow = titan.go(pm.spawn, pm, "workers.starting",
      { name = "slow", options = { rest = "50ms" } })
    local file <close> = class_with '{ "slow" }'
    assert.is_true(pm:spawn(file.path):call_dependency("slow", "rested"))
    assert.is_true(slow:done())
  end))

  it("that fail to start fail the start", managed(function(pm)
    local bad <close> = program.file "require('titan').sleep(250) error 'the disk is missing'"
    local file <close> = class_with '{ "bad" }'
    local first = titan.go(pm.spawn, pm, bad.path, { name = "bad" })
    local second = titan.go(pm.spawn, pm, "workers.caller", { dependencies = { "bad" } })
    local third = titan.go(pm.spawn, pm, file.path, { name = "third" })
    expect.error("spawn_failed", first.await, first)
    for name, future in pairs { caller = second, third = third } do
      local err = expect.error("spawn_failed", future.await, future)
      expect.part({ 'worker "' .. name .. '" did not start: it depends on "bad": ',
        "the disk is missing" }, err.message)
    end
  end))

  it("of a class on itself end with an error", managed(function(pm)
    local file <close> = class_with '{ "narcissus" }'
    local err = expect.error("spawn_failed", pm.spawn, pm, file.path, { name = "narcissus" })
    expect.part({ 'worker "narcissus" did not start: it depends on "narcissus": ',
      "which waits for it to start" }, err.message)
  end))

  it("of two classes on each other end with an error", managed(function(pm)
    local a <close> = class_with '{ "b" }'
    local b <close> = class_with '{ "a" }'
    local first = titan.go(pm.spawn, pm, a.path, { name = "a" })
    local second = titan.go(pm.spawn, pm, b.path, { name = "b" })
    for _, future in ipairs { first, second } do
      expect.part("did not start: it depends on ",
        expect.error("spawn_failed", future.await, future).message)
    end
  end))

  it("that came about one after the other do not keep each other from ending", managed(function(pm)
    pm:spawn("workers.echo", { name = "a" })
    pm:spawn("workers.caller", { name = "b", dependencies = { "a" } })
    pm:discover("a"):__destroy()
    pm:spawn("workers.caller", { name = "a", dependencies = { "b" } })
    pm:spawn("workers.caller", { name = "c", dependencies = { "a" } })
    local order = {}
    pm:on("process:stop", function(info)
      order[#order + 1] = info.name
    end)
    assert.is_true(pm:stop_all())
    order = table.concat(order)
    assert.equal(3, #order)
    assert.is_true(order:find "c" < order:find "a")
  end))

  it("end after those that depend on them", managed(function(pm)
    local order = {}
    pm:on("process:stop", function(info)
      order[#order + 1] = info.name
    end)
    pm:spawn("workers.echo", { name = "base" })
    pm:spawn("workers.caller", { name = "middle", dependencies = { "base" } })
    local file <close> = class_with '{ below = "middle" }'
    pm:spawn(file.path, { name = "top", dependencies = { "base" } })
    pm:spawn("workers.caller", { name = "top-too", dependencies = { "middle", "base" } })
    pm:stop_all()
    assert.equal(4, #order)
    assert.same({ "middle", "base" }, { order[3], order[4] })
  end))

  it("end at once when nobody depends on them any more", managed(function(pm)
    pm:spawn("workers.echo", { name = "base" })
    pm:spawn("workers.caller", { name = "top", dependencies = { "base" } }):__destroy()
    assert.is_true(pm:stop_all())
    assert.equal("stopped", pm:get_process_info("w1").status)
  end))

  it("are names", managed(function(pm)
    for path, dependencies in pairs {
      ["options.dependencies"] = 5, ["options.dependencies[2]"] = { "echo", 5 },
      ["options.dependencies.x"] = { x = "" },
    } do
      assert.equal(path, expect.error("invalid_config", pm.spawn, pm, "workers.caller",
        { dependencies = dependencies }).details.path)
    end
  end))
end)
