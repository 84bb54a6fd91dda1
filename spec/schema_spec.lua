local errors = require "titan.errors"
local schema = require "titan.schema"
local text = require "titan.text"

local NOT_BUILT = " not built in this version (titan " .. text.version .. ") yet"
local MILLISECONDS = '(milliseconds, or a string such as "30s")'
local BYTES = '(bytes, or a string such as "64KB")'

---@return titan.Error
local function refusal(spec, value, where)
  local ok, err = pcall(schema.check, spec, value, where or "config")
  assert.is_false(ok)
  assert.is_true(errors.is(err), tostring(err))
  assert.equal("invalid_config", err.code)
  return err
end

local function accepts(spec, value, expected)
  local checked = schema.check(spec, value, "config")
  assert.same(expected, checked)
  assert.equal(math.type(expected), math.type(checked))
end

local function refuses(spec, value, message)
  assert.equal(message, refusal(spec, value).message)
end

describe("a boolean", function()
  it("is true or false and nothing else", function()
    accepts({ kind = "boolean" }, true, true)
    accepts({ kind = "boolean" }, false, false)
    refuses({ kind = "boolean" }, 1, "config: expected true or false, given number 1")
    refuses({ kind = "boolean" }, "true", 'config: expected true or false, given string "true"')
  end)
end)

describe("an integer", function()
  local spec = { kind = "integer", min = 1, max = 200 }

  it("is whole, and a float that is whole becomes an integer", function()
    accepts(spec, 1, 1)
    accepts(spec, 200, 200)
    accepts(spec, 64.0, 64)
  end)

  it("refuses fractions, NaN, infinity, strings and what is out of bounds", function()
    refuses(spec, 0, "config: expected an integer from 1 to 200, given number 0")
    refuses(spec, 201, "config: expected an integer from 1 to 200, given number 201")
    refuses(spec, 1.5, "config: expected an integer from 1 to 200, given number 1.5")
    refuses(spec, "5", 'config: expected an integer from 1 to 200, given string "5"')
    refuses(spec, math.huge, "config: expected an integer from 1 to 200, given number inf")
    refusal(spec, 0 / 0)
  end)

  it("may have one bound or none", function()
    accepts({ kind = "integer" }, -5, -5)
    refuses({ kind = "integer", min = 3 }, 2,
      "config: expected an integer of at least 3, given number 2")
    refuses({ kind = "integer", max = 3 }, 4,
      "config: expected an integer of at most 3, given number 4")
  end)
end)

describe("a number", function()
  it("keeps integers and floats apart", function()
    accepts({ kind = "number" }, 1, 1)
    accepts({ kind = "number" }, 1.0, 1.0)
  end)

  it("is finite and within bounds", function()
    local spec = { kind = "number", min = 0, max = 1 }
    accepts(spec, 0.1, 0.1)
    refuses(spec, 1.1, "config: expected a number from 0 to 1, given number 1.1")
    refuses(spec, "x", 'config: expected a number from 0 to 1, given string "x"')
    refusal({ kind = "number" }, 0 / 0)
    refusal({ kind = "number" }, math.huge)
    refusal({ kind = "number" }, -math.huge)
  end)
end)

describe("a string", function()
  it("has a length in bytes and a pattern", function()
    local spec = { kind = "string", min = 2, max = 4, pattern = "^%l+$" }
    accepts(spec, "ab", "ab")
    accepts(spec, "abcd", "abcd")
    refuses(spec, "a", 'config: expected a string from 2 to 4 bytes, given string "a"')
    refuses(spec, "abcde", 'config: expected a string from 2 to 4 bytes, given string "abcde"')
    refuses(spec, "AB", 'config: expected a string from 2 to 4 bytes, given string "AB"')
    refuses({ kind = "string" }, 5, "config: expected a string, given number 5")
  end)

  it("may say in its own words what is allowed", function()
    local spec = { kind = "string", pattern = "^/", allowed = "an absolute path" }
    local err = refusal(spec, "x")
    assert.equal('config: expected an absolute path, given string "x"', err.message)
    assert.equal("an absolute path", err.details.allowed)
  end)
end)

describe("a duration", function()
  local spec = { kind = "duration", min = "1s", max = "1h" }

  it("becomes integer milliseconds", function()
    accepts(spec, "1s", 1000)
    accepts(spec, 1000, 1000)
    accepts(spec, "1h", 3600000)
    accepts({ kind = "duration" }, 0.5, 1)
    accepts({ kind = "duration" }, 0, 0)
  end)

  it("is within its bounds, said in units", function()
    refuses(spec, 999,
      "config: expected a duration from 1s to 1h " .. MILLISECONDS .. ", given number 999")
    refuses(spec, "2h",
      "config: expected a duration from 1s to 1h " .. MILLISECONDS .. ', given string "2h"')
  end)

  it("says what is wrong with a malformed one", function()
    refuses(spec, "5 s", 'config: "5 s" is not a duration: it holds white space; write a number of '
      .. 'milliseconds, or a string such as "250ms", "1.5s", "5m" or "1h"')
    refuses({ kind = "duration" }, true,
      "config: expected a duration " .. MILLISECONDS .. ", given boolean true")
  end)
end)

describe("a size", function()
  local spec = { kind = "size", min = "1KB", max = "1GB" }

  it("becomes integer bytes", function()
    accepts(spec, "64MB", 67108864)
    accepts(spec, 1024, 1024)
    accepts(spec, "1GB", 1073741824)
  end)

  it("is within its bounds and well formed", function()
    refuses(spec, 1023,
      "config: expected a size from 1KB to 1GB " .. BYTES .. ", given number 1023")
    refuses(spec, "1025MB",
      "config: expected a size from 1KB to 1GB " .. BYTES .. ', given string "1025MB"')
    assert.truthy(refusal(spec, "64KiB").message:find('has the unknown unit "KiB"', 1, true))
    refuses(spec, {}, "config: expected a size from 1KB to 1GB " .. BYTES .. ", given table")
  end)
end)

describe("a function", function()
  it("is a Lua or a C function", function()
    assert.equal(print, schema.check({ kind = "function" }, print, "f"))
    refuses({ kind = "function" }, "print", 'config: expected a function, given string "print"')
    refuses({ kind = "function" }, setmetatable({}, { __call = print }),
      "config: expected a function, given table")
  end)
end)

describe("an enum", function()
  local spec = {
    kind = "enum", values = { "process" },
    pending_values = { worker = "worker isolation", thread = "thread isolation" },
  }

  it("is one of its values", function()
    accepts(spec, "process", "process")
    accepts({ kind = "enum", values = { 1, "two", false } }, false, false)
  end)

  it("suggests the nearest value", function()
    refuses(spec, "proces", 'config: unknown value "proces"; did you mean "process"?')
    refuses(spec, "wroker", 'config: unknown value "wroker"; did you mean "worker"?')
  end)

  it("lists what is allowed when none is near", function()
    refuses({ kind = "enum", values = { "text", "json", "none" } }, "zzzzzz",
      'config: unknown value "zzzzzz"; allowed: "text", "json" or "none"')
  end)

  it("names a value that is not built yet, and what works", function()
    refuses(spec, "thread",
      "config: thread isolation is" .. NOT_BUILT .. '; what works is "process"')
  end)

  it("refuses values of other types", function()
    refuses(spec, 5, 'config: expected "process", given number 5')
    refuses({ kind = "enum", values = { false } }, "x", 'config: expected false, given string "x"')
  end)
end)

describe("a list", function()
  local spec = { kind = "list", of = { kind = "duration" } }

  it("is checked item by item and copied", function()
    local given = { "1s", 5 }
    local checked = schema.check(spec, given, "config")
    assert.same({ 1000, 5 }, checked)
    assert.same({ "1s", 5 }, given)
    accepts(spec, {}, {})
  end)

  it("names the item that is wrong", function()
    refuses(spec, { 1, true },
      "config[2]: expected a duration " .. MILLISECONDS .. ", given boolean true")
  end)

  it("has no holes and no other keys", function()
    refuses(spec, { [1] = 1, [3] = 1 }, "config[2]: missing; a list has no holes")
    refuses(spec, { 1, x = 1 }, 'config: expected a list, found the key "x" in it')
    refuses(spec, { [0] = 1 }, "config: expected a list, found the key 0 in it")
    refuses(spec, { 1, [1.5] = 1 }, "config: expected a list, found the key 1.5 in it")
    refuses(spec, { [true] = 1 }, "config: expected a list, found the key true in it")
    refuses(spec, "x", 'config: expected a list, given string "x"')
  end)

  it("may be bounded in length", function()
    local bounded = { kind = "list", of = { kind = "any" }, min = 1, max = 2 }
    accepts(bounded, { 1, 2 }, { 1, 2 })
    refuses(bounded, {}, "config: expected a list from 1 to 2 items, given 0")
    refuses(bounded, { 1, 2, 3 }, "config: expected a list from 1 to 2 items, given 3")
    refuses({ kind = "list", of = { kind = "any" }, max = 2 }, { 1, 2, 3 },
      "config: expected a list of at most 2 items, given 3")
  end)

  it("is read without metamethods", function()
    local hostile = setmetatable({ 1 }, {
      __index = error, __len = error, __pairs = error, __newindex = error,
    })
    accepts(spec, hostile, { 1 })
    assert.is_nil(getmetatable(schema.check(spec, hostile, "config")))
  end)
end)

describe("a map", function()
  local spec = { kind = "map", key = { kind = "string", max = 3 }, value = { kind = "size" } }

  it("is checked key by key and copied", function()
    local given = { a = "1KB", b = 2 }
    assert.same({ a = 1024, b = 2 }, schema.check(spec, given, "config"))
    assert.same({ a = "1KB", b = 2 }, given)
    accepts(spec, {}, {})
  end)

  it("names the key or the value that is wrong", function()
    refuses(spec, { abcd = 1 },
      'config.abcd: bad key: expected a string of at most 3 bytes, given string "abcd"')
    refuses(spec, { 1 }, "config[1]: bad key: expected a string of at most 3 bytes, given number 1")
    refuses(spec, { ["a b"] = true },
      'config["a b"]: expected a size ' .. BYTES .. ", given boolean true")
    refuses(spec, 5, "config: expected a table, given number 5")
  end)

  it("reports the first mistake in sorted order", function()
    for _ = 1, 20 do
      assert.equal("config.a", refusal(spec, { c = true, a = true, b = true }).details.path)
      assert.equal("config[10]",
        refusal(spec, { [30] = 1, [10] = 1, [20] = 1, a = true }).details.path)
    end
  end)
end)

describe("a table", function()
  local spec = {
    kind = "table",
    fields = {
      timeout = { kind = "duration", default = "5s" },
      inner = {
        kind = "table",
        fields = {
          list = { kind = "list", of = { kind = "integer" }, default = { 1, 2 } },
          flag = { kind = "boolean", default = true },
        },
      },
      extra = {
        kind = "table", optional = true,
        fields = { on = { kind = "boolean", default = true } },
      },
      free = { kind = "any", default = { deep = { 1 } } },
    },
  }

  local function defaults()
    return { timeout = 5000, inner = { list = { 1, 2 }, flag = true }, free = { deep = { 1 } } }
  end

  it("has its defaults merged in deeply, in the form of checked values", function()
    accepts(spec, nil, defaults())
    local expected = defaults()
    expected.inner.flag = false
    accepts(spec, { inner = { flag = false } }, expected)
  end)

  it("leaves an optional record out until it is given", function()
    assert.is_nil(schema.check(spec, {}, "config").extra)
    assert.same({ on = true }, schema.check(spec, { extra = {} }, "config").extra)
  end)

  it("never changes the value given", function()
    local given = { inner = { list = { 7 } } }
    local checked = schema.check(spec, given, "config")
    checked.inner.list[1] = 8
    checked.inner.flag = false
    assert.same({ inner = { list = { 7 } } }, given)
  end)

  it("shares no table with the defaults", function()
    local first = schema.check(spec, nil, "config")
    first.inner.list[1] = 99
    first.free.deep[1] = 99
    first.inner = nil
    accepts(spec, nil, defaults())
  end)

  it("suggests the nearest key for one that is misspelt", function()
    refuses(spec, { timeuot = 1 }, 'config.timeuot: unknown key; did you mean "timeout"?')
    refuses(spec, { inner = { falg = 1 } }, 'config.inner.falg: unknown key; did you mean "flag"?')
  end)

  it("lists the usable keys when none is near", function()
    refuses({ kind = "table", fields = {
      b = { kind = "any" }, a = { kind = "any" }, later = { kind = "any", pending = "restarts" },
    } }, { qqqqqqqqqq = 1 }, "config.qqqqqqqqqq: unknown key; allowed: a and b")
    refuses({ kind = "table", fields = {} }, { qq = 1 }, "config.qq: unknown key; allowed: none")
  end)

  it("may call its keys something else", function()
    refuses({ kind = "table", noun = "annotation", fields = { public = { kind = "boolean" } } },
      { pubic = true }, 'config.pubic: unknown annotation; did you mean "public"?')
  end)

  it("refuses keys that are not strings", function()
    refuses(spec, { "x" }, "config[1]: every key is named by a string, not by a number; "
      .. "allowed: extra, free, inner and timeout")
    refuses(spec, { [true] = 1 }, "config[true]: every key is named by a string, not by a boolean; "
      .. "allowed: extra, free, inner and timeout")
    refuses(spec, { [{}] = 1 }, "config[table]: every key is named by a string, not by a table; "
      .. "allowed: extra, free, inner and timeout")
  end)

  it("neither compares nor repeats an overlong key", function()
    local core = require "titan.core"
    local suggest = core.suggest
    core.suggest = function()
      error "compared"
    end
    local ok, message = pcall(function()
      return refusal(spec, { [("timeout"):rep(100000)] = 1 }).message
    end)
    core.suggest = suggest
    assert.is_true(ok, message)
    assert.is_true(#message < 300)
  end)

  it("reports the first mistake in sorted order, unknown keys first", function()
    for _ = 1, 20 do
      assert.equal("config.aaaaaaa", refusal(spec, {
        zzzzzzz = 1, aaaaaaa = 1, timeout = true, inner = 5,
      }).details.path)
      assert.equal("config.inner", refusal(spec, { timeout = true, inner = 5 }).details.path)
    end
  end)

  it("refuses what is no table", function()
    refuses(spec, 5, "config: expected a table, given number 5")
    refuses(spec, { inner = false }, "config.inner: expected a table, given boolean false")
  end)

  it("is read without metamethods", function()
    local hostile = setmetatable({ timeout = 1 }, { __index = error, __pairs = error })
    assert.equal(1, schema.check(spec, hostile, "config").timeout)
  end)
end)

describe("anything", function()
  it("passes through as the same value", function()
    local value = {}
    assert.equal(value, schema.check({ kind = "any" }, value, "x"))
    assert.equal(print, schema.check({ kind = "any" }, print, "x"))
  end)

  it("may have to be of one type", function()
    local spec = { kind = "any", type = "table" }
    local value = {}
    assert.equal(value, schema.check(spec, value, "x"))
    refuses(spec, 5, "config: expected a value of type table, given number 5")
  end)
end)

describe("one_of", function()
  local spec = {
    kind = "one_of",
    of = { { kind = "duration", min = 1 }, { kind = "enum", values = { false } } },
  }

  it("is the first alternative that fits", function()
    accepts(spec, "1s", 1000)
    accepts(spec, false, false)
  end)

  it("says what the alternatives are", function()
    refuses(spec, true, "config: expected a duration of at least 1ms " .. MILLISECONDS
      .. " or false, given boolean true")
  end)

  it("says what is wrong with a value of the right type", function()
    refuses(spec, 0,
      "config: expected a duration of at least 1ms " .. MILLISECONDS .. ", given number 0")
    assert.truthy(refusal(spec, "soon").message:find('"soon" is not a duration', 1, true))
  end)

  it("takes no alternative's word for a value of another type altogether", function()
    refuses({
      kind = "one_of",
      of = {
        { kind = "boolean" }, { kind = "function" }, { kind = "string" }, { kind = "size" },
        { kind = "any", type = "thread" }, { kind = "list", of = { kind = "any" } },
        { kind = "table", fields = {} }, { kind = "one_of", of = { { kind = "number" } } },
      },
      allowed = "something",
    }, io.stdout, "config: expected something, given userdata")
    refuses({ kind = "one_of", of = { { kind = "boolean" }, { kind = "function" } } }, "x",
      'config: expected true or false or a function, given string "x"')
  end)

  it("looks inside lists and maps", function()
    local names = {
      kind = "one_of",
      of = {
        { kind = "list", of = { kind = "string" } },
        { kind = "map", key = { kind = "string" }, value = { kind = "string" } },
      },
    }
    accepts(names, { "a" }, { "a" })
    accepts(names, { a = "b" }, { a = "b" })
    refuses(names, { 5 }, "config[1]: expected a string, given number 5")
    refuses(names, { a = 5 }, "config.a: expected a string, given number 5")
  end)
end)

describe("a required value", function()
  local spec = {
    kind = "table",
    fields = { methods = { kind = "any", type = "table", required = true } },
  }

  it("may not be missing", function()
    local err = refusal(spec, {})
    assert.equal("config.methods: required; expected a value of type table", err.message)
    assert.same({
      path = "config.methods", given = "nil", allowed = "a value of type table",
    }, err.details)
    refusal(spec, nil)
  end)

  it("is asked for only after the misspelt keys", function()
    refuses(spec, { method = {} }, 'config.method: unknown key; did you mean "methods"?')
  end)
end)

describe("convert", function()
  it("is the last step", function()
    accepts({ kind = "duration", convert = function(ms) return ms + 1 end }, "1s", 1001)
    accepts({ kind = "number", default = 5, convert = tostring }, nil, "5")
  end)

  it("may refuse", function()
    local spec = { kind = "string", convert = function() return nil, "is already taken" end }
    local err = refusal(spec, "x")
    assert.equal("config: is already taken", err.message)
    assert.same({ path = "config", given = 'string "x"', allowed = "a string" }, err.details)
  end)
end)

describe("a feature that is not built yet", function()
  local spec = {
    kind = "table",
    fields = {
      restart_policy = {
        kind = "table", pending = "restarts",
        fields = {
          max_restarts = { kind = "integer", default = 3 },
          window = { kind = "duration", default = "1m" },
          backoff = { kind = "table", fields = { factor = { kind = "number", default = 2 } } },
        },
      },
      tls = { kind = "any", pending = "the tcp transport" },
      list = { kind = "list", of = { kind = "integer" }, default = { 1 }, pending = "lists" },
    },
  }

  it("has its defaults in the result", function()
    assert.same({
      restart_policy = { max_restarts = 3, window = 60000, backoff = { factor = 2 } },
      list = { 1 },
    }, schema.check(spec, {}, "config"))
  end)

  it("accepts the defaults, however they are written", function()
    local checked = schema.check(spec, {
      restart_policy = { max_restarts = 3, window = "60s", backoff = { factor = 2.0 } },
      list = { 1 },
    }, "config")
    assert.equal(60000, checked.restart_policy.window)
    schema.check(spec, { restart_policy = {} }, "config")
  end)

  it("refuses anything else by its own path", function()
    local err = refusal(spec, { restart_policy = { max_restarts = 5 } })
    assert.equal("config.restart_policy.max_restarts: restarts are" .. NOT_BUILT
      .. "; leave the key out", err.message)
    assert.same({
      path = "config.restart_policy.max_restarts", given = "number 5",
      allowed = "nothing but the default",
    }, err.details)
    assert.equal("config.restart_policy.backoff.factor",
      refusal(spec, { restart_policy = { backoff = { factor = 3 } } }).details.path)
    local why = "config.list: lists are" .. NOT_BUILT .. "; leave the key out"
    refuses(spec, { list = { 1, 2 } }, why)
    refuses(spec, { list = {} }, why)
  end)

  it("refuses every value where there is no default", function()
    refuses(spec, { tls = false },
      "config.tls: the tcp transport is" .. NOT_BUILT .. "; leave the key out")
  end)

  it("says so too where the type is wrong", function()
    local why = "restarts are" .. NOT_BUILT .. "; leave the key out"
    for _, value in ipairs { "x", false, {} } do
      refuses(spec, { restart_policy = { max_restarts = value } },
        "config.restart_policy.max_restarts: " .. why)
    end
    refuses(spec, { restart_policy = false }, "config.restart_policy: " .. why)
  end)

  it("still finds the misspelt key", function()
    refuses(spec, { restart_policy = { max_restart = 3 } },
      'config.restart_policy.max_restart: unknown key; did you mean "max_restarts"?')
  end)
end)

describe("the error", function()
  it("has path, given and allowed in its details", function()
    assert.same({ path = "config.a[2]", given = "number 5", allowed = "a string" }, refusal(
      { kind = "table", fields = { a = { kind = "list", of = { kind = "string" } } } },
      { a = { "x", 5 } }).details)
  end)

  it("shortens what was given, between UTF-8 characters", function()
    local long = ("x"):rep(39) .. "é" .. ("y"):rep(1000)
    assert.equal('string "' .. ("x"):rep(39) .. '..."',
      refusal({ kind = "boolean" }, long).details.given)
  end)

  it("escapes what cannot be printed", function()
    assert.equal([[string "a\nb\0\27[31m\"\\"]],
      refusal({ kind = "boolean" }, 'a\nb\0\27[31m"\\').details.given)
  end)

  it("begins with the key where the value itself has no path", function()
    assert.equal("a: expected true or false, given number 1", refusal(
      { kind = "table", fields = { a = { kind = "boolean" } } }, { a = 1 }, "").message)
    assert.equal("expected true or false, given number 1",
      refusal({ kind = "boolean" }, 1, "").message)
  end)
end)

describe("schema.refuse", function()
  it("raises in the same shape", function()
    local ok, err = pcall(schema.refuse, "options.name", "is taken", "img", "a free name")
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.equal("invalid_config", err.code)
    assert.equal("options.name: is taken", err.message)
    assert.same({
      path = "options.name", given = 'string "img"', allowed = "a free name",
    }, err.details)
  end)
end)

describe("a spec that is wrong itself", function()
  it("is a programming error", function()
    local ok, why = pcall(schema.check, { kind = "bolean" }, true, "config")
    assert.is_false(ok)
    assert.truthy(why:find('schema: unknown kind string "bolean"', 1, true))
  end)
end)
