local expect = require "support.expect"
local proc = require "support.proc"
local titan = require "titan"

---@return { code: integer, stdout: string, stderr: string }
local function run(args, options)
  local program = proc.start(proc.titan, args, options)
  local code = program:await()
  return { code = code, stdout = program:stdout(), stderr = program:stderr() }
end

local function in_task(fn)
  return function()
    titan.run(fn)
  end
end

describe("titan", function()
  it("without a command shows how it is used", in_task(function()
    local result = run {}
    assert.equal(2, result.code)
    assert.equal("", result.stdout)
    expect.part({ "usage: titan COMMAND", "run", "FILE [ARG...]", "version", "help" },
      result.stderr)
  end))

  for _, command in ipairs { "help", "--help", "-h" } do
    it(command .. " shows how it is used", in_task(function()
      local result = run { command }
      assert.equal(0, result.code)
      assert.equal("", result.stderr)
      expect.part({ "usage: titan COMMAND", "run", "FILE [ARG...]",
        "Exit codes: 0 ok, 1 failed, 2 usage" }, result.stdout)
    end))
  end

  for _, command in ipairs { "version", "--version", "-v", "-V" } do
    it(command .. " shows its version", in_task(function()
      assert.same({ code = 0, stdout = "titan " .. titan.version .. "\n", stderr = "" },
        run { command })
    end))
  end

  it("suggests the command that was meant", in_task(function()
    assert.same({
      code = 2, stdout = "", stderr = "titan: unknown command 'rnu'; did you mean 'titan run'?\n",
    }, run { "rnu", "app.lua" })
    local result = run { "nothing-like-it" }
    assert.equal(2, result.code)
    expect.part({ "titan: unknown command 'nothing-like-it'", "usage: titan" }, result.stderr)
  end))

  it("says which commands are not built yet", in_task(function()
    for _, command in ipairs { "check", "init", "ls", "top", "info", "call", "logs", "restart",
      "stop", "kill", "scale", "reload", "worker", "bench" } do
      local result = run { command }
      assert.equal(2, result.code)
      expect.part("`titan " .. command .. "` is not built in this version", result.stderr)
    end
  end))
end)

describe("titan run", function()
  local directory

  before_each(function()
    directory = proc.directory()
  end)

  after_each(function()
    proc.remove(directory)
  end)

  local function write(files)
    for name, text in pairs(files) do
      local file <close> = assert(io.open(directory .. "/" .. name, "w"))
      file:write(text)
    end
  end

  -- Writes the script and runs it.
  local function script(text, ...)
    write { ["app.lua"] = text }
    return run { "run", directory .. "/app.lua", ... }
  end

  it("without a file says what is missing", in_task(function()
    local result = run { "run" }
    assert.equal(2, result.code)
    expect.part("usage: titan run FILE", result.stderr)
  end))

  it("of a file that is not there fails", in_task(function()
    local result = run { "run", directory .. "/nothing.lua" }
    assert.equal(1, result.code)
    expect.part({ "titan: ", "nothing.lua", "No such file or directory" }, result.stderr)
  end))

  it("of a directory fails", in_task(function()
    local result = run { "run", directory }
    assert.equal(1, result.code)
    expect.part({ "titan: ", directory }, result.stderr)
  end))

  it("shows where the syntax is wrong", in_task(function()
    local result = script "local x =\nlocal y = 5"
    assert.equal(1, result.code)
    expect.part({ "titan: ", "app.lua:2: unexpected symbol near 'local'" }, result.stderr)
  end))

  it("gives the script its arguments", in_task(function()
    local result = script([[
      local first, second = ...
      print(select("#", ...), first, second)
      print(#arg, arg[0], arg[1], arg[2], arg[3])
    ]], "a b", "", "--json")
    assert.same({
      code = 0, stderr = "",
      stdout = "3\ta b\t\n3\t" .. directory .. "/app.lua\ta b\t\t--json\n",
    }, result)
  end))

  it("takes a script with a shebang line", in_task(function()
    assert.same({ code = 0, stdout = "fine\n", stderr = "" },
      script "#!/usr/bin/env -S titan run\nprint 'fine'")
  end))

  it("ends with 0 when the script returns, whatever it returns", in_task(function()
    assert.same({ code = 0, stdout = "", stderr = "" }, script "return false, 5")
  end))

  it("ends with the code that the script asks for", in_task(function()
    assert.equal(5, script "os.exit(5)".code)
  end))

  it("shows an uncaught error with its traceback", in_task(function()
    local result = script [[
      local function inner()
        error "on purpose"
      end
      local function outer()
        inner()
      end
      outer()
    ]]
    assert.equal(1, result.code)
    assert.equal("", result.stdout)
    expect.part({ "titan: ", "app.lua:2: on purpose", "stack traceback:",
      "app.lua:2: in", "app.lua:5: in", "app.lua:7: in" }, result.stderr)
  end))

  it("shows an uncaught error object", in_task(function()
    local result = script [[require "titan".manager { isolaton = "process" }]]
    assert.equal(1, result.code)
    expect.part({ "titan: invalid_config: config.isolaton: unknown key; did you mean",
      "isolation", "stack traceback:", "app.lua:1: in" }, result.stderr)
  end))

  it("shows an error that is neither", in_task(function()
    local result = script [[error(setmetatable({}, { __tostring = function() error "no" end }))]]
    assert.equal(1, result.code)
    expect.part("titan: ", result.stderr)
    result = script "error()"
    assert.equal(1, result.code)
    expect.part("titan: nil", result.stderr)
  end))

  it("fails when an error in a task was never awaited", in_task(function()
    local result = script [[require "titan".go(error, "lost", 0)]]
    assert.equal(1, result.code)
    expect.part({ "an error in a task that nobody awaited: lost" }, result.stderr)
  end))

  it("fails when a callback raises", in_task(function()
    local result = script [[
      local luv = require "luv"
      luv.new_timer():start(1, 0, function() error "in a timer" end)
      require "titan".sleep "1h"
    ]]
    assert.equal(1, result.code)
    expect.part({ "in a timer", "app.lua:2:" }, result.stderr)
  end))

  it("keeps running while handles of luv are open", in_task(function()
    assert.same({ code = 0, stdout = "script done\nticked\n", stderr = "" }, script [[
      local timer = require "luv".new_timer()
      timer:start(20, 0, function()
        print "ticked"
        timer:close()
      end)
      print "script done"
    ]])
  end))

  it("fails when a callback raises after the script has ended", in_task(function()
    local result = script [[
      require "luv".new_timer():start(20, 0, function() error "too late" end)
    ]]
    assert.equal(1, result.code)
    expect.part({ "too late", "stack traceback" }, result.stderr)
  end))

  it("fails when the script waits for what can never come", in_task(function()
    local result = script [[
      local titan = require "titan"
      local future
      future = titan.go(function() titan.sleep(1) future:await() end)
      future:await()
    ]]
    assert.equal(1, result.code)
    expect.part("can never come", result.stderr)
  end))

  it("shows an error of a worker with both tracebacks", in_task(function()
    write { ["failing.lua"] = [[
      return require "titan".process { all_methods_public = true, methods = {
        fail = function() error "over there" end,
      } }
    ]] }
    local result = script [[
      local pm = require "titan".manager()
      pm:spawn "failing":fail()
    ]]
    assert.equal(1, result.code)
    expect.part({ "titan: remote_error: ", "failing.lua:2: over there", "failing.fail",
      "failing.lua:2: in" }, result.stderr)
  end))

  describe("finds modules beside the script", function()
    local MODULES <const> = {
      ["helper.lua"] = "return { name = ... }",
      ["local_worker.lua"] = [[
        local helper = require "helper"
        return require "titan".process { all_methods_public = true, methods = {
          helper = function() return helper.name end,
        } }
      ]],
      ["app.lua"] = [[
        local titan = require "titan"
        local pm = titan.manager()
        print(require "helper".name, pm:spawn "local_worker":helper())
      ]],
    }

    local function check(args, cwd)
      write(MODULES)
      assert.same({ code = 0, stdout = "helper\thelper\n", stderr = "" },
        run({ "run", table.unpack(args) }, { cwd = cwd }))
    end

    it("from another directory", in_task(function()
      check({ directory .. "/app.lua" }, "/")
    end))

    it("from its own directory", in_task(function()
      check({ "app.lua" }, directory)
    end))

    it("by a relative path", in_task(function()
      check({ "." .. directory .. "/app.lua" }, "/")
    end))
  end)
end)
