local expect = require "support.expect"
local managed = require "support.managed"
local program = require "support.program"
local system = require "support.system"

describe("env", function()
  it("is there before the module loads", managed(function(pm)
    local worker = pm:spawn("workers.starting", { env = { TITAN_SPEC_LEVEL = "spawn" } })
    assert.equal("spawn", worker:loaded().level)
    assert.equal("spawn", worker:begun().level)
  end))

  it("is text, a number, or false for none", managed(function(pm)
    local worker = pm:spawn("workers.starting", {
      env = { TITAN_SPEC_A = "a=b c", TITAN_SPEC_B = 5, TITAN_SPEC_C = "", PATH = false },
    })
    assert.equal("a=b c", worker:env "TITAN_SPEC_A")
    assert.equal("5", worker:env "TITAN_SPEC_B")
    assert.equal("", worker:env "TITAN_SPEC_C")
    assert.is_nil(worker:env "PATH")
    assert.equal(os.getenv "HOME", worker:env "HOME")
  end))

  it("is the manager's own, and each worker's own", managed(function(pm)
    pm:spawn("workers.starting", { env = { TITAN_SPEC_LEVEL = "other" } })
    local worker = pm:spawn "workers.starting"
    assert.is_nil(worker:env "TITAN_SPEC_LEVEL")
    assert.equal(os.getenv "PATH", worker:env "PATH")
    assert.is_nil(os.getenv "TITAN_SPEC_LEVEL")
  end))

  for what, class in pairs { module = "workers.named", object = require "workers.named" } do
    it("may be the class's, over which the spawn's goes: by " .. what, managed(function(pm)
      local worker = pm:spawn(class)
      assert.equal("class", worker:env "TITAN_SPEC_LEVEL")
      assert.equal("5", worker:env "TITAN_SPEC_CLASS")
      worker = pm:spawn(class, {
        env = { TITAN_SPEC_LEVEL = "spawn", TITAN_SPEC_CLASS = false, TITAN_SPEC_OUTER = "there" },
      })
      assert.equal("spawn", worker:env "TITAN_SPEC_LEVEL")
      assert.is_nil(worker:env "TITAN_SPEC_CLASS")
      assert.equal("there", worker:env "TITAN_SPEC_OUTER")
    end))
  end

  it("has names and values that the system takes", managed(function(pm)
    for path, env in pairs {
      ['options.env["A=B"]'] = { ["A=B"] = "x" }, ["options.env.A"] = { A = true },
      ["options.env.B"] = { B = "a\0b" }, ["options.env[1]"] = { "x" },
    } do
      assert.equal(path, expect.error("invalid_config", pm.spawn, pm, "workers.starting",
        { env = env }).details.path)
    end
  end))
end)

describe("cwd", function()
  it("is there before the module loads", managed(function(pm)
    local worker = pm:spawn("workers.starting", { cwd = "/usr" })
    assert.equal("/usr", worker:loaded().cwd)
    assert.equal("/usr", worker:begun().cwd)
  end))

  it("is the manager's own unless somebody says other", managed(function(pm)
    assert.equal(require("luv").cwd(), pm:spawn("workers.starting"):cwd())
  end))

  for what, class in pairs { module = "workers.named", object = require "workers.named" } do
    it("may be the class's, over which the spawn's goes: by " .. what, managed(function(pm)
      assert.equal("/usr", pm:spawn(class):cwd())
      assert.equal("/", pm:spawn(class, { cwd = "/" }):cwd())
    end))
  end

  it("that does not exist fails the start", managed(function(pm)
    local err = expect.error("spawn_failed", pm.spawn, pm, "workers.starting",
      { cwd = "/no/such/directory" })
    assert.equal('worker "starting" did not start: cannot change to the directory '
      .. '"/no/such/directory": No such file or directory', err.message)
  end))
end)

describe("a name", function()
  it("gives way to another that nobody chose either", managed(function(pm)
    for i, name in ipairs { "echo", "echo-2", "echo-3" } do
      pm:spawn "workers.echo"
      assert.equal(name, pm:get_process_info("w" .. i).name)
    end
    pm:discover("echo-2"):__destroy()
    pm:spawn "workers.echo"
    assert.equal("echo-2", pm:get_process_info("w4").name)
    pm:spawn(require "workers.echo")
    assert.equal("echo-4", pm:get_process_info("w5").name)
  end))

  it("that somebody chose does not", managed(function(pm)
    pm:spawn("workers.echo", { name = "parrot" })
    local err = expect.error("invalid_config", pm.spawn, pm, "workers.gate", { name = "parrot" })
    local pid = pm:get_process_info("w1").pid
    assert.equal('options.name: "parrot" is the name of w1 already (running, pid ' .. pid .. ")",
      err.message)
    pm:discover("parrot"):__destroy()
    assert.equal(0, pm:spawn("workers.gate", { name = "parrot" }):count())
  end))

  it("is taken while its process starts", managed(function(pm)
    local titan = require "titan"
    local first = titan.go(pm.spawn, pm, "workers.echo", { name = "parrot" })
    local second = titan.go(pm.spawn, pm, "workers.echo", { name = "parrot" })
    local err = expect.error("invalid_config", second.await, second)
    expect.part('"parrot" is the name of w1 already (pending)', err.message)
    assert.equal(1, first:await():echo(1))
  end))

  it("is known to the worker", managed(function(pm)
    assert.equal("parrot", pm:spawn("workers.starting", { name = "parrot" }):name())
    assert.equal("starting", pm:spawn("workers.starting"):name())
    assert.equal("starting-2", pm:spawn("workers.starting"):name())
  end))

  for what, class in pairs { module = "workers.named", object = require "workers.named" } do
    it("of the class goes before that of the module: by " .. what, managed(function(pm)
      local worker = pm:spawn(class)
      assert.equal(worker, pm:discover "a-named-class")
      assert.is_nil(pm:discover "named")
      assert.equal("a-named-class", worker:name())
      assert.equal("titan service a-named-class (running)", tostring(worker))
      assert.equal("a-named-class",
        expect.error("method_not_found", worker.nonsense, worker).process)
      local second = pm:spawn(class)
      assert.equal(second, pm:discover "a-named-class-2")
      assert.equal("a-named-class-2", second:name())
      local chosen = pm:spawn(class, { name = "chosen" })
      assert.equal(chosen, pm:discover "chosen")
      assert.equal("chosen", chosen:name())
    end))
  end

  it("of a class gives way, too, when it is known only later", managed(function(pm)
    local titan = require "titan"
    pm:spawn("workers.echo", { name = "a-named-class" })
    local names = titan.all {
      titan.go(function() return pm:spawn("workers.named"):name() end),
      titan.go(function() return pm:spawn("workers.named"):name() end),
    }
    table.sort(names)
    assert.same({ "a-named-class-2", "a-named-class-3", n = 2 }, names)
    for _, name in ipairs(names) do
      assert.equal(name, pm:discover(name):name())
    end
  end))

  it("has letters that may stand anywhere", managed(function(pm)
    for _, name in ipairs { "", "a b", "a/b", "\u{E9}", ("x"):rep(65), "a\nb" } do
      local err = expect.error("invalid_config", pm.spawn, pm, "workers.echo", { name = name })
      assert.equal("options.name", err.details.path)
    end
    assert.equal(1, pm:spawn("workers.echo", { name = ("x"):rep(64) }):echo(1))
  end))

  it("is made from that of the file", managed(function(pm)
    local file <close> = program.file('return require "workers.echo"')
    pm:spawn(file.path)
    local name = file.path:match("([^/]+)%.lua$"):gsub("[^%w_.-]", "-")
    assert.truthy(pm:discover(name))
  end))
end)

it("pm:spawn finds the mistakes in its options", managed(function(pm)
  for why, options in pairs {
    ['options.nmae: unknown key; did you mean "name"?'] = { nmae = "x" },
    ["options: expected a table, given number 5"] = 5,
    ["options.startup_timeout: "] = { startup_timeout = "soon" },
    ["options.isolation: unknown "] = { isolation = "fiber" },
  } do
    local err = expect.error("invalid_config", pm.spawn, pm, "workers.echo", options)
    assert.equal(why, err.message:sub(1, #why))
  end
  assert.same({}, pm:get_all_processes())
end))

describe("preload", function()
  it("loads a module once, for all workers", managed({ preload = { "workers.starting" } },
    function(pm)
      local one, two = pm:spawn "workers.starting", pm:spawn "workers.starting"
      assert.equal(one:loaded().pid, two:loaded().pid)
      assert.are_not.equal(one:loaded().pid, one:pid())
      assert.are_not.equal(system.pid(), one:loaded().pid)
      assert.are_not.equal(one:pid(), two:pid())
    end))

  it("may name a file", function()
    local path = package.searchpath("workers.starting", package.path)
    managed({ preload = { path } }, function(pm)
      local one, two = pm:spawn(path), pm:spawn "workers.starting"
      assert.are_not.equal(one:loaded().pid, one:pid())
      assert.equal(one:loaded().pid, two:loaded().pid)
    end)()
  end)

  it("is not needed: a module is loaded in its worker", managed(function(pm)
    local worker = pm:spawn "workers.starting"
    assert.equal(worker:pid(), worker:loaded().pid)
  end))

  it("keeps the workers' states apart", managed({ preload = { "workers.echo" } }, function(pm)
    local one, two = pm:spawn "workers.echo", pm:spawn "workers.echo"
    assert.same({ 1, 2, 1 }, { one:calls(), one:calls(), two:calls() })
  end))

  it("that is missing is told by the first spawn", managed({ preload = { "no.such.module" } },
    function(pm)
      for _ = 1, 2 do
        local err = expect.error("spawn_failed", pm.spawn, pm, "workers.echo")
        expect.part({ 'worker "echo" did not start: ', "module 'no.such.module' not found" },
          err.message)
      end
    end))

  it("that raises is told by the first spawn", function()
    local file <close> = program.file "local function boom() error 'preloads badly' end boom()"
    managed({ preload = { file.path } }, function(pm)
      local err = expect.error("spawn_failed", pm.spawn, pm, "workers.echo")
      expect.part({ 'worker "echo" did not start: ', file.path .. ":1: preloads badly" },
        err.message)
    end)()
  end)
end)
