local expect = require "support.expect"
local managed = require "support.managed"
local program = require "support.program"
local system = require "support.system"
local titan = require "titan"

local ECHO = package.searchpath("workers.echo", package.path)

-- Spawns a class from a file of this content, which must fail with the code.
local function failed_start(pm, code, content, options)
  local file <close> = program.file('local titan = require "titan"\n' .. content)
  return expect.error(code, pm.spawn, pm, file.path, options), file.path
end

describe("a class", function()
  it("is found by the name of its module", managed(function(pm)
    assert.equal(1, pm:spawn("workers.echo"):echo(1))
    assert.equal("echo", pm:get_process_info("w1").name)
    assert.equal(ECHO, pm:get_process_info("w1").file)
  end))

  it("is found by the path of its file", managed(function(pm)
    assert.equal(1, pm:spawn(ECHO):echo(1))
    assert.equal("echo", pm:get_process_info("w1").name)
    local relative = ("../"):rep(64) .. ECHO:sub(2)
    assert.equal(1, pm:spawn(relative):echo(1))
    assert.equal(ECHO, pm:get_process_info("w2").file)
  end))

  it("is found by the object that its module returns", managed(function(pm)
    assert.equal(1, pm:spawn(require "workers.echo"):echo(1))
    assert.equal("echo", pm:get_process_info("w1").name)
    assert.equal(ECHO, pm:get_process_info("w1").file)
  end))

  it("is not found under another name", managed(function(pm)
    local err = expect.error("spawn_failed", pm.spawn, pm, "workers.ecoh")
    expect.part({ 'there is no module "workers.ecoh"; did you mean "workers.echo"?', "tried: ",
      "/workers/ecoh.lua" }, err.message)
    assert.same({ class = "workers.ecoh" }, err.details)
    err = expect.error("spawn_failed", pm.spawn, pm, "preposterous")
    expect.part({ 'there is no module "preposterous"\ntried: ' }, err.message)
    err = expect.error("spawn_failed", pm.spawn, pm, "./no/such/file.lua")
    assert.equal('cannot load the worker file "./no/such/file.lua": No such file or directory',
      err.message)
  end))

  it("is none of the other values", managed(function(pm)
    for given, said in pairs { [5] = "number 5", [true] = "boolean true", [""] = 'string ""',
      [{}] = "table", [print] = "function" } do
      local err = expect.error("invalid_config", pm.spawn, pm, given)
      assert.equal("class: expected a class, given " .. said, err.message)
    end
    expect.error("invalid_config", pm.spawn, pm)
  end))

  it("does not stand in the main script", function()
    local source = [[
      local class = titan.process { name = "inline", methods = { m = print } }
      local ok, err = pcall(pm.spawn, pm, class)
      print(ok, err.code, err.message)
    ]]
    local why = "false\tspawn_failed\ttitan.process inline is declared in the main script, which "
      .. "a worker cannot load without running it; move it to a file of its own\n"
    assert.equal(why, program.run(source).stdout)
    assert.equal(why, program.lua(source).stdout)
  end)

  it("stands in some file", managed(function(pm)
    local class = load('return require("titan").process { methods = {} }', "=typed")()
    expect.part({ "was not declared in a file", "lives in a module of its own" },
      expect.error("spawn_failed", pm.spawn, pm, class).message)
  end))
end)

describe("a module that cannot be loaded", function()
  it("has a syntax error", managed(function(pm)
    local err, path = failed_start(pm, "spawn_failed", "return titan.process {\n  methods = }\n")
    expect.part({ 'worker "lua_', '" did not start: ' .. path .. ":3: ", "near '}'" }, err.message)
    assert.equal(1, err.details.exit_code)
  end))

  it("returns something else", managed(function(pm)
    for content, said in pairs {
      [""] = "nil", ["return 5"] = "number 5", ["return { methods = {} }"] = "table",
      ["titan.process { methods = {} }"] = "nil",
    } do
      local err, path = failed_start(pm, "spawn_failed", content)
      expect.part(path .. " returned " .. said .. "; a worker's module returns what "
        .. "titan.process { ... } returns", err.message)
    end
  end))

  it("raises", managed(function(pm)
    local err, path = failed_start(pm, "spawn_failed", [[
      local function connect()
        error "no route to host"
      end
      connect()
    ]])
    expect.part(path .. ":3: no route to host", err.message)
    expect.part({ "stack traceback:", "'connect'", path .. ":5: in main chunk" }, err.traceback)
  end))

  it("declares nonsense", managed(function(pm)
    local err = failed_start(pm, "invalid_config",
      "return titan.process { name = 'x', methods = { m = { pubic = true, print } } }")
    expect.part('x.methods.m.pubic: unknown annotation; did you mean "public"?', err.message)
  end))

  it("requires what there is not", managed(function(pm)
    expect.part("module 'no.such.module' not found",
      failed_start(pm, "spawn_failed", 'require "no.such.module"').message)
  end))

  it("ends its process", managed(function(pm)
    for code in pairs { [0] = true, [3] = true } do
      local err = failed_start(pm, "spawn_failed", "os.exit(" .. code .. ")")
      expect.part("exited with code " .. code .. " before it was ready", err.message)
      assert.equal(code, err.details.exit_code)
    end
    local err = failed_start(pm, "spawn_failed",
      'local luv = require "luv" luv.kill(luv.os_getpid(), "sigkill")')
    expect.part("was killed by SIGKILL before it was ready", err.message)
    assert.equal("SIGKILL", err.details.exit_signal)
  end))

  it("leaves nothing behind, and the manager as it was", managed(function(pm)
    local pid
    pm:on("process:spawn", function(info)
      pid = info.pid
    end)
    failed_start(pm, "spawn_failed", "error 'no'")
    assert.is_false(system.alive(pid))
    assert.equal("failed", pm:get_process_info("w1").status)
    assert.equal(1, pm:spawn("workers.echo"):echo(1))
  end))
end)

describe("init", function()
  local function class_with(init)
    return "return titan.process { methods = {}, init = function(self, options)\n" .. init
      .. "\nend }"
  end

  it("gets the options", managed(function(pm)
    local options = { url = "x", list = { 1, 2.5, "three" }, deep = { { {} } }, flag = false }
    assert.same(options, pm:spawn("workers.starting", { options = options }):options())
    assert.same({}, pm:spawn("workers.starting"):options())
  end))

  it("gets no options that cannot travel", managed(function(pm)
    local err = expect.error("invalid_config", pm.spawn, pm, "workers.starting",
      { options = { callbacks = { print } } })
    expect.part({ "options.options.callbacks[1]: a function cannot travel" }, err.message)
    assert.same({}, pm:get_all_processes())
  end))

  it("may wait", managed(function(pm)
    assert.is_true(pm:spawn("workers.starting", { options = { rest = "20ms" } }):rested())
  end))

  it("may call other services", managed(function(pm)
    pm:spawn "workers.echo"
    local file <close> = program.file [[
      local titan = require "titan"
      return titan.process {
        init = function(self) self.heard = titan.service("echo"):echo("early") end,
        methods = { heard = { public = true, function(self) return self.heard end } },
      }
    ]]
    assert.equal("early", pm:spawn(file.path):heard())
  end))

  it("that raises fails the start, with its words and its stderr", managed(function(pm)
    local err, path = failed_start(pm, "spawn_failed", class_with [[
      io.stderr:write "looking for the disk\nfound none\n"
      error "the disk is missing"
    ]], { name = "keeper" })
    assert.equal('worker "keeper" did not start: ' .. path .. ":4: the disk is missing\n"
      .. "stderr: looking for the disk\nstderr: found none", err.message)
    expect.part({ "stack traceback:", path .. ":4: in field 'init'" }, err.traceback)
    assert.equal("keeper", err.process)
    assert.is_false(err.retryable)
    assert.equal("looking for the disk\nfound none\n", err.details.stderr)
    assert.equal(1, err.details.exit_code)
    assert.equal("exited with code 1", err.details.exit)
  end))

  it("may raise an error of Titan's, or any other value", managed(function(pm)
    local err = failed_start(pm, "unauthorized",
      class_with 'require("titan.errors").raise("unauthorized", "who are you?")')
    expect.part("who are you?", err.message)
    expect.part("the method raised a table", failed_start(pm, "spawn_failed",
      class_with "error {}").message)
    expect.part("nil", failed_start(pm, "spawn_failed", class_with "error()").message)
  end))

  it("that fails after it waited fails the start", managed(function(pm)
    expect.part("later", failed_start(pm, "spawn_failed", class_with [[
      titan.sleep(1)
      error "later"
    ]]).message)
  end))
end)

describe("startup_timeout", function()
  -- The process must be gone when the error is there.
  local function times_out(pm, ms, content, options)
    local pid
    pm:spawn("workers.echo"):__destroy() -- from now on the zygote is there
    local handler = pm:on("process:spawn", function(info)
      pid = info.pid
    end)
    local err = failed_start(pm, "startup_timeout", content, options)
    pm:off("process:spawn", handler)
    expect.part("not ready within " .. ms .. " ms", err.message)
    assert.is_false(system.alive(pid))
    assert.equal("SIGKILL", err.details.exit_signal)
  end

  it("ends a module that never stops loading", managed(function(pm)
    times_out(pm, 300, "while true do end", { startup_timeout = "300ms" })
  end))

  it("ends an init that never returns", managed(function(pm)
    local class = 'return titan.process { methods = {}, init = function() titan.sleep "1h" end }'
    times_out(pm, 300, class, { startup_timeout = 300 })
  end))

  it("may be the class's", managed(function(pm)
    local class = 'return titan.process { startup_timeout = "300ms", methods = {}, '
      .. "init = function(_, options) titan.sleep(options.rest) end }"
    times_out(pm, 300, class, { options = { rest = "1h" } })
    times_out(pm, 400, class, { options = { rest = "1h" }, startup_timeout = 400 })
    local file <close> = program.file('local titan = require "titan" ' .. class)
    assert.truthy(pm:spawn(file.path, { options = { rest = 310 }, startup_timeout = "1h" }))
  end))
end)

it("a spawn that is given up ends its process", managed(function(pm)
  local spawning = titan.go(pm.spawn, pm, "workers.starting", { options = { rest = "1h" } })
  while pm:get_process_info("w1").status ~= "starting" do
    titan.sleep(1)
  end
  local pid = pm:get_process_info("w1").pid
  assert.is_true(spawning:cancel())
  expect.error("cancelled", spawning.await, spawning)
  while pm:get_process_info "starting" do
    titan.sleep(1)
  end
  assert.is_false(system.alive(pid))
  assert.equal("stopped", pm:get_process_info("w1").status)
end))

it("titan.manager finds the mistakes in its config", function()
  titan.run(function()
    for why, config in pairs {
      ['config.isolaton: unknown key; did you mean "isolation"?'] = { isolaton = "process" },
      ['config.resources.timeot: unknown key; did you mean "timeout"?'] =
        { resources = { timeot = 5 } },
      ["config.isolation: unknown "] = { isolation = "fiber" },
      ["config.limits.nesting: expected"] = { limits = { nesting = 0 } },
      ["config.preload: expected"] = { preload = "workers.echo" },
      ['config.preload[2]: cannot load "./no/such.lua": No such file or directory'] =
        { preload = { "workers.echo", "./no/such.lua" } },
    } do
      local err = expect.error("invalid_config", titan.manager, config)
      assert.equal(why, err.message:sub(1, #why))
    end
    expect.error("invalid_config", titan.manager, 5)
  end)
end)
