local annotations = require "titan.annotations.all"
local class = require "titan.class"
local errors = require "titan.errors"
local text = require "titan.text"

local NOT_BUILT = " not built in this version (titan " .. text.version .. ") yet"

local function nothing() end

local function allowed_annotations()
  local names = {}
  for _, entry in ipairs(annotations.list()) do
    names[#names + 1] = entry.name
  end
  table.sort(names)
  return text.enumerated(names, "and")
end

---@return titan.Error
local function refusal(declaration)
  local ok, err = pcall(class.process, declaration)
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  assert.equal("invalid_config", err.code)
  return err
end

local function refuses(declaration, message)
  assert.equal(message, refusal(declaration).message)
end

local function with_methods(methods)
  return { name = "images", methods = methods }
end

describe("titan.process", function()
  it("takes every key", function()
    local function init() end
    local declared = class.process {
      name = "image-worker", version = "1.0.0", description = "scales images", init = init,
      methods = { resize = nothing }, dependencies = { db = "pg" }, env = { A = 1, B = false },
      cwd = "/tmp", startup_timeout = "2s", all_methods_public = true,
      isolation = "process", transport = "unix",
    }
    assert.equal("process", declared.kind)
    assert.equal("image-worker", declared.name)
    assert.equal("1.0.0", declared.version)
    assert.equal("scales images", declared.description)
    assert.equal(init, declared.init)
    assert.same({ resize = { fn = nothing, public = true, on_shutdown = false } }, declared.methods)
    assert.same({ "resize" }, declared.method_names)
    assert.same({ { alias = "db", service = "pg" } }, declared.dependencies)
    assert.same({ A = "1", B = false }, declared.env)
    assert.equal("/tmp", declared.cwd)
    assert.equal(2000, declared.startup_timeout)
  end)

  it("needs nothing but methods, of which there may be none", function()
    local declared = class.process { methods = {} }
    assert.same({}, declared.methods)
    assert.same({}, declared.method_names)
    assert.same({}, declared.dependencies)
    assert.same({}, declared.env)
    for _, key in ipairs { "name", "version", "description", "init", "cwd", "startup_timeout" } do
      assert.is_nil(declared[key])
    end
  end)

  it("does not keep the tables of the declaration, nor change them", function()
    local declaration = { methods = { m = { public = true, nothing } }, env = { A = 1 } }
    local declared = class.process(declaration)
    declared.env.A = "changed"
    declared.methods.m.public = false
    declared.methods.other = {}
    assert.same({ methods = { m = { public = true, nothing } }, env = { A = 1 } }, declaration)
  end)

  it("is recognised by class.is", function()
    assert.is_true(class.is(class.process { methods = {} }))
    assert.is_false(class.is({ kind = "process", methods = {} }))
    assert.is_false(class.is(nil))
    assert.is_false(class.is("image_worker"))
  end)

  it("has a readable tostring", function()
    assert.equal("titan.process image-worker 1.0.0",
      tostring(class.process { name = "image-worker", version = "1.0.0", methods = {} }))
    assert.equal("titan.process image-worker",
      tostring(class.process { name = "image-worker", methods = {} }))
    assert.equal("titan.process (unnamed)", tostring(class.process { methods = {} }))
  end)
end)

describe("a wrong declaration", function()
  it("is refused when it is no table", function()
    refuses(nil, "titan.process: expected a table, given nil")
    refuses("x", 'titan.process: expected a table, given string "x"')
    refuses(nothing, "titan.process: expected a table, given function")
  end)

  it("must have methods", function()
    refuses({}, "methods: required; expected a table of methods by name")
    refuses({ name = "images" }, "images.methods: required; expected a table of methods by name")
    refuses(with_methods(5), "images.methods: expected a table of methods by name, given number 5")
    refuses(with_methods(nothing),
      "images.methods: expected a table of methods by name, given function")
  end)

  local NAME = 'a name of 1 to 64 letters, digits, "_", "." or "-"'
  local mistakes = {
    { "name", "a b", "expected " .. NAME .. ', given string "a b"' },
    { "name", "", "expected " .. NAME .. ', given string ""' },
    { "name", 5, "expected " .. NAME .. ", given number 5" },
    { "version", 1, "expected a non-empty string, given number 1" },
    { "version", "", 'expected a non-empty string, given string ""' },
    { "description", {}, "expected a string, given table" },
    { "init", "x", 'expected a function, given string "x"' },
    { "all_methods_public", "yes", 'expected true or false, given string "yes"' },
    { "dependencies", { "db", "db" }, '"db" is listed twice' },
    { "env", "A=B", 'expected a table, given string "A=B"' },
    { "cwd", "", 'expected a non-empty string without NUL, given string ""' },
    { "startup_timeout", 0, "expected a duration of at least 1ms "
      .. '(milliseconds, or a string such as "30s"), given number 0' },
    { "transport", "tcp", "the tcp transport is" .. NOT_BUILT .. '; what works is "unix"' },
    { "restart_policy", true, "expected a table, given boolean true" },
    { "resources", 5, "expected a table, given number 5" },
    { "memory", "1MB", 'expected a size of at least 4MB (bytes, or a string such as "64KB"), '
      .. 'given string "1MB"' },
    { "health", true, 'expected a table or false, given boolean true' },
    { "security", "strict", 'expected a table, given string "strict"' },
    { "observability", {}, "tracing and custom metrics are" .. NOT_BUILT .. "; leave the key out" },
    { "verison", "1", 'unknown key; did you mean "version"?' },
    { "method", {}, 'unknown key; did you mean "methods"?' },
    { "preposterous", {}, "unknown key; allowed: all_methods_public, annotations, cwd, "
      .. "dependencies, description, env, health, init, isolation, memory, methods, name, "
      .. "resources, restart_policy, security, startup_timeout, transport and version" },
  }
  for _, case in ipairs(mistakes) do
    it("has its " .. case[1] .. " = " .. tostring(case[2]) .. " refused", function()
      refuses({ methods = {}, [case[1]] = case[2] }, case[1] .. ": " .. case[3])
    end)
  end

  it("is named in front of the path where its name is known", function()
    refuses({ name = "images", methods = {}, verison = "1" },
      'images.verison: unknown key; did you mean "version"?')
    assert.equal("images.methods.m.pubic",
      refusal(with_methods { m = { pubic = true, nothing } }).details.path)
  end)

  it("may not have keys that are not strings", function()
    assert.equal("images[1]", refusal({ nothing, name = "images", methods = {} }).details.path)
  end)

  it("is read without metamethods", function()
    refuses(setmetatable({}, { __index = error }),
      "methods: required; expected a table of methods by name")
  end)
end)

describe("a method", function()
  local function method(declared, are_public)
    return class.process({ methods = { m = declared }, all_methods_public = are_public }).methods.m
  end

  it("is private when it is a bare function", function()
    assert.same({ fn = nothing, public = false, on_shutdown = false }, method(nothing))
  end)

  it("is private when its table does not say", function()
    assert.same({ fn = nothing, public = false, on_shutdown = false }, method { nothing })
  end)

  it("is public when it says so", function()
    assert.is_true(method({ public = true, nothing }).public)
    assert.is_false(method({ public = false, nothing }).public)
  end)

  it("is public under all_methods_public, unless it says no", function()
    assert.is_true(method(nothing, true).public)
    assert.is_true(method({ nothing }, true).public)
    assert.is_false(method({ public = false, nothing }, true).public)
    assert.is_false(method(nothing, false).public)
  end)

  it("may be run at shutdown, and described", function()
    assert.same({ fn = nothing, public = false, on_shutdown = true, description = "ends" },
      method { on_shutdown = true, description = "ends", nothing })
    assert.is_false(method({ on_shutdown = false, nothing }).on_shutdown)
  end)

  it("is not the only one to run at shutdown", function()
    local declared = class.process { methods = {
      b = { on_shutdown = true, nothing }, a = { on_shutdown = true, nothing }, c = nothing,
    } }
    assert.is_true(declared.methods.a.on_shutdown and declared.methods.b.on_shutdown)
    assert.same({ "a", "b", "c" }, declared.method_names)
  end)
end)

describe("a wrong method", function()
  it("is neither a function nor a table", function()
    refuses(with_methods { m = 5 },
      "images.methods.m: expected a function, or a table with the function at [1], given number 5")
    refuses(with_methods { m = false }, "images.methods.m: expected a function, or a table with "
      .. "the function at [1], given boolean false")
  end)

  it("is a table without a function", function()
    refuses(with_methods { m = {} },
      "images.methods.m: the method itself is missing; put its function at [1]")
    refuses(with_methods { m = { public = true } },
      "images.methods.m: the method itself is missing; put its function at [1]")
    refuses(with_methods { m = { "x" } },
      'images.methods.m[1]: expected a function, given string "x"')
    refuses(with_methods { m = { false } },
      "images.methods.m[1]: expected a function, given boolean false")
  end)

  it("has an annotation that does not exist", function()
    refuses({ methods = { resize = { pubic = true, nothing } } },
      'methods.resize.pubic: unknown annotation; did you mean "public"?')
    refuses(with_methods { m = { circut_breaker = {}, nothing } },
      'images.methods.m.circut_breaker: unknown annotation; did you mean "circuit_breaker"?')
    refuses(with_methods { m = { preposterous = {}, nothing } },
      "images.methods.m.preposterous: unknown annotation; allowed: " .. allowed_annotations())
  end)

  it("has something besides the function in its array part", function()
    refuses(with_methods { m = { nothing, nothing } }, "images.methods.m[2]: every annotation is "
      .. "named by a string, not by a number; allowed: " .. allowed_annotations())
  end)

  it("has an annotation of the wrong type", function()
    refuses(with_methods { m = { public = 1, nothing } },
      "images.methods.m.public: expected true or false, given number 1")
    refuses(with_methods { m = { on_shutdown = "yes", nothing } },
      'images.methods.m.on_shutdown: expected true or false, given string "yes"')
    refuses(with_methods { m = { description = 5, nothing } },
      "images.methods.m.description: expected a string, given number 5")
  end)

  for annotation, feature in pairs(annotations.pending) do
    local subject = text.not_built(feature)
    it("has the annotation " .. annotation .. ", which is not built yet", function()
      local why = ": " .. subject .. "; leave the key out"
      for _, value in ipairs { true, false, {} } do
        refuses(with_methods { m = { [annotation] = value, nothing } },
          "images.methods.m." .. annotation .. why)
      end
    end)
  end

  it("has no name", function()
    local why = ": the method's name is missing; write `name = function(self) ... end`"
    refuses(with_methods { nothing }, "images.methods[1]" .. why)
    refuses(with_methods { { public = true, nothing } }, "images.methods[1]" .. why)
    refuses(with_methods { [7] = nothing, m = 5 }, "images.methods[7]" .. why)
    refuses(with_methods { [true] = nothing },
      "images.methods[true]: a method's name is a string, not a boolean")
  end)

  it("has a name that could not be called", function()
    local why = ": a method's name must be a Lua identifier, given string "
    for _, name in ipairs { "", "a-b", "1a", "a b", "é", "a.b", "a\0" } do
      local message = refusal(with_methods { [name] = nothing }).message
      assert.truthy(message:find(why, 1, true), message)
    end
    for name in ([[and break do else elseif end false for function goto if in local nil not or
      repeat return then true until while]]):gmatch("%a+") do
      refuses(with_methods { [name] = nothing }, "images.methods." .. name .. ': "' .. name
        .. '" is a word of the Lua language, not a name')
    end
  end)

  it("has a name that belongs to Titan", function()
    for _, name in ipairs { "__id", "__destroy", "__x" } do
      refuses(with_methods { [name] = nothing }, "images.methods." .. name
        .. ": names that begin with two underscores belong to Titan")
    end
    assert.truthy(class.process { methods = { _x = nothing, x__ = nothing } })
  end)

  it("is public and hides what proxies offer", function()
    local why = ', since proxies use the name for proxy.async:method(...); '
      .. "rename it or make it private"
    refuses(with_methods { async = { public = true, nothing } },
      'images.methods.async: a public method may not be called "async"' .. why)
    refuses({ all_methods_public = true, methods = { async = nothing } },
      'methods.async: a public method may not be called "async"' .. why)
    refuses(with_methods { with = { public = true, nothing } },
      'images.methods.with: a public method may not be called "with", since proxies use the name '
      .. "for proxy:with{...}:method(...); rename it or make it private")
    assert.truthy(class.process { methods = { async = nothing, with = { nothing } } })
  end)

  it("is reported in the order of names", function()
    for _ = 1, 20 do
      assert.equal("images.methods.a",
        refusal(with_methods { c = 1, b = 1, a = 1 }).details.path)
      assert.equal("images.methods[1]",
        refusal(with_methods { nothing, nothing, nothing, a = 1 }).details.path)
      assert.equal("images.methods[10]",
        refusal(with_methods { [30] = nothing, [10] = nothing, [20] = nothing }).details.path)
    end
  end)
end)

describe("the source of a class", function()
  local files = {}

  -- A file that runs `code`, in which `process` is titan.process.
  local function written(code)
    local path = os.tmpname()
    files[#files + 1] = path
    local file = assert(io.open(path, "w"))
    file:write("local process = ...\n", code)
    file:close()
    return path
  end

  local function run(path)
    return assert(loadfile(path))(class.process)
  end

  -- The same file as seen from anywhere: the root is its own parent.
  local function relative(path)
    return ("../"):rep(64) .. path:gsub("^/", "")
  end

  local getenv = os.getenv
  local function with_working_directory(directory, fn, ...)
    os.getenv = function(name) -- luacheck: ignore 122
      if name == "PWD" then
        return directory
      end
      return getenv(name)
    end
    local result = fn(...)
    os.getenv = getenv -- luacheck: ignore 122
    return result
  end

  after_each(function()
    os.getenv = getenv -- luacheck: ignore 122
    for _, path in ipairs(files) do
      os.remove(path)
    end
    files = {}
  end)

  it("is the file that calls titan.process", function()
    local path = written "local c = process { methods = {} } return c"
    assert.equal(path, run(path).source)
  end)

  it("is found although `return titan.process {...}` leaves no trace on the stack", function()
    local path = written "return process { methods = { m = function() end } }"
    assert.equal(path, run(path).source)
    path = written "return process { init = function() end, methods = {} }"
    assert.equal(path, run(path).source)
  end)

  it("is the file of most functions when the stack cannot tell", function()
    local lender = written "return function() end, function() end"
    local one, two = assert(loadfile(lender))()
    local path = written [[
      local _, one, two = ...
      return process { init = one, methods = {
        a = string.rep, b = two, x = function() end, y = function() end, z = function() end,
      } }
    ]]
    assert.equal(path, assert(loadfile(path))(class.process, one, two).source)
  end)

  it("is found although titan.process is called from C", function()
    local path = written [[
      local _, c = pcall(process, { methods = { m = function() end } })
      return c
    ]]
    assert.equal(path, run(path).source)
  end)

  it("is not known where nothing tells", function()
    assert.is_nil(run(written "return process { methods = {} }").source)
    assert.is_nil(run(written "return process { methods = { m = string.rep } }").source)
  end)

  it("is nil for code that comes from no file", function()
    local declaration = "process { methods = { m = function() end } }"
    local code = "local process = ... local c = " .. declaration .. " return c"
    local tail_call = "local process = ... return " .. declaration
    assert.is_nil(load(code)(class.process).source)
    assert.is_nil(load(code, "=stdin")(class.process).source)
    assert.is_nil(load(tail_call)(class.process).source)
  end)

  it("is sought further up the stack when told to", function()
    local wrapper = assert(load([[
      local process = ...
      return function(declaration)
        local c = process(declaration, 2)
        return c
      end
    ]], "@/lib/wrapper.lua"))(class.process)
    local path = written "local c = process { methods = {} } return c"
    assert.equal(path, assert(loadfile(path))(wrapper).source)
    path = written "return process { methods = {} }"
    assert.is_nil(assert(loadfile(path))(wrapper).source)
  end)

  it("is made absolute by the working directory", function()
    local path = relative(written "local c = process { methods = {} } return c")
    assert.equal("/usr/" .. path, with_working_directory("/usr", run, path).source)
    assert.equal("/usr/" .. path, with_working_directory("/usr/", run, "./" .. path).source)
  end)

  it("is nil where the working directory is not known", function()
    local path = relative(written "local c = process { methods = {} } return c")
    assert.is_nil(with_working_directory(nil, run, path).source)
    assert.is_nil(with_working_directory("here", run, path).source)
    assert.is_nil(with_working_directory("/no/such/directory", run, "./" .. path).source)
  end)

  it("is nil where $PWD leads to another file", function()
    local decoy = written "-- not the code that runs"
    local directory, name = decoy:match("^(.*)/([^/]+)$")
    local code = "local process = ... local c = process { methods = {} } return c"
    local source = with_working_directory(directory, load(code, "@" .. name), class.process).source
    assert.is_nil(source)
  end)
end)

describe("class.not_built", function()
  for _, kind in ipairs { "workflow", "actor", "supervisor" } do
    it("refuses titan." .. kind, function()
      local ok, err = pcall(class.not_built(kind), { methods = {} })
      assert.is_false(ok)
      assert.is_true(errors.is(err))
      assert.equal("invalid_config", err.code)
      assert.equal("titan." .. kind .. " is" .. NOT_BUILT, err.message)
    end)
  end
end)
