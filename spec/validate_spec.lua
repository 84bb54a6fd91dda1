local expect = require "support.expect"
local managed = require "support.managed"
local titan = require "titan"
local validation = require "titan.validation"
local values = require "titan.validation.values"

local NAN <const> = 0 / 0

-- What is wrong with a value, as in the message of an error; nil when it fits.
local function wrong(schema, value)
  local at, expected, given, why, fault = validation.compile(schema, "s")(value)
  assert.is_nil(fault)
  if at then
    return values.sentence("v" .. at, expected, given, why)
  end
  assert.is_nil(expected)
end

local function fits(schema, ...)
  for i = 1, select("#", ...) do
    assert.is_nil(wrong(schema, (select(i, ...))))
  end
end

-- A list of cases: schema, value, what is said of it.
local function table_driven(cases)
  for _, case in ipairs(cases) do
    assert.equal(case[3], wrong(case[1], case[2]))
  end
end

local function even(value)
  return value % 2 == 0, "must be even"
end

describe("a schema that is the name of a type", function()
  it("fits what is of the type", function()
    fits("string", "", "x")
    fits("integer", 0, -1, math.mininteger)
    fits("number", 0, 1.5, -math.huge, NAN)
    fits("boolean", true, false)
    fits("table", {}, { 1 })
    fits("any", 1, "x", false, {})
    fits("integer?", 1, nil)
    fits("any?", 1, nil)
  end)

  it("says what it expected and what it got", function()
    table_driven {
      { "string", 5, "v: expected string, got 5" },
      { "string", nil, "v: expected string, got nil" },
      { "integer", 3.0, "v: expected integer, got 3.0" },
      { "integer", "3", 'v: expected integer, got "3"' },
      { "number", "3", 'v: expected number, got "3"' },
      { "boolean", "true", 'v: expected boolean, got "true"' },
      { "table", "x", 'v: expected table, got "x"' },
      { "any", nil, "v: expected any value but nil, got nil" },
      { "integer?", false, "v: expected integer, got false" },
      { "string", print, "v: expected string, got function" },
      { "integer", ("x"):rep(100), 'v: expected integer, got "' .. ("x"):rep(40) .. '..."' },
      { "integer", "\27[2J\n", [[v: expected integer, got "\27[2J\n"]] },
    }
  end)
end)

describe("a schema of numbers and strings", function()
  it("has bounds", function()
    fits({ type = "integer", min = 1, max = 10000 }, 1, 10000)
    fits({ type = "number", min = 0 }, 0, math.huge)
    fits({ type = "integer", min = 1, optional = true }, 1, nil)
    fits({ type = "integer?", min = 1 }, 1, nil)
    local size = { type = "integer", min = 1, max = 10000 }
    table_driven {
      { size, "wide", 'v: expected integer in 1..10000, got "wide"' },
      { size, 0, "v: expected integer in 1..10000, got 0" },
      { size, 10001, "v: expected integer in 1..10000, got 10001" },
      { size, 1.0, "v: expected integer in 1..10000, got 1.0" },
      { { type = "number", min = 0.5 }, 0, "v: expected number of at least 0.5, got 0" },
      { { type = "number", max = 0 }, 1e300, "v: expected number of at most 0, got 1e+300" },
      { { type = "number", max = 0 }, "0", 'v: expected number of at most 0, got "0"' },
    }
    expect.part("expected number of at least 0", wrong({ type = "number", min = 0 }, NAN))
  end)

  it("has lengths and a pattern", function()
    fits({ type = "string", min_len = 1, max_len = 3 }, "a", "abc")
    fits({ type = "string", pattern = "^%a+$" }, "abc")
    table_driven {
      { { type = "string", min_len = 1 }, "", 'v: expected string of at least 1 bytes, got ""' },
      { { type = "string", max_len = 1 }, "ab", 'v: expected string of at most 1 bytes, got "ab"' },
      { { type = "string", min_len = 1, max_len = 3 }, "abcd",
        'v: expected string of 1..3 bytes, got "abcd"' },
      { { type = "string", min_len = 2, max_len = 2 }, "a",
        'v: expected string of 2 bytes, got "a"' },
      { { type = "string", min_len = 2 }, {}, "v: expected string of at least 2 bytes, got table" },
      { { type = "string", pattern = "^%a+$" }, "a1",
        'v: expected string matching "^%a+$", got "a1"' },
      { { type = "string", pattern = "^%a+$" }, 1, 'v: expected string matching "^%a+$", got 1' },
      { { type = "string", pattern = "x", max_len = 4 }, "abcdx",
        'v: expected string of at most 4 bytes matching "x", got "abcdx"' },
    }
  end)

  it("is one of some", function()
    fits({ one_of = { "png", "jpeg" } }, "png", "jpeg")
    fits({ one_of = { 1, "auto", false } }, 1, 1.0, "auto", false)
    fits({ type = "integer", one_of = { 1, 2 }, optional = true }, 1, nil)
    table_driven {
      { { one_of = { "png", "jpeg" } }, "gif", 'v: expected "png" or "jpeg", got "gif"' },
      { { one_of = { "png" } }, nil, 'v: expected "png", got nil' },
      { { one_of = { 1, true } }, "1", 'v: expected 1 or true, got "1"' },
      { { one_of = { false } }, true, "v: expected false, got true" },
      { { one_of = { 1 } }, NAN, wrong({ one_of = { 1 } }, NAN) },
      { { type = "integer", one_of = { 1, 2 } }, 1.0, "v: expected 1 or 2, got 1.0" },
      { { one_of = { 1, 2, 3, 4, 5, 6, 7, 8, 9 } }, 0, "v: expected one of 9 values, got 0" },
    }
  end)
end)

describe("a schema of tables", function()
  it("is a list", function()
    fits({ list = "integer" }, {}, { 1, 2, 3 })
    fits({ list = "string", min_len = 1, max_len = 2 }, { "a" }, { "a", "b" })
    fits({ list = { list = "integer" } }, {}, { {}, { 1 } })
    table_driven {
      { { list = "integer" }, 5, "v: expected list, got 5" },
      { { list = "integer" }, { 1, "b" }, 'v[2]: expected integer, got "b"' },
      { { list = { list = "integer" } }, { {}, { 1, false } },
        "v[2][2]: expected integer, got false" },
      { { list = "integer", min_len = 1 }, {}, "v: expected list of at least 1 items, got 0" },
      { { list = "integer", max_len = 1 }, { 1, 2 }, "v: expected list of at most 1 items, got 2" },
      { { list = "integer" }, { 1, x = 2 }, "v.x: a list has no such key, and no holes" },
      { { list = "integer" }, { [3] = 1 }, "v[3]: a list has no such key, and no holes" },
      { { list = "any" }, { 1, nil, 3 }, "v: expected list without holes, got table" },
      { { list = "any" }, { [1.5] = 1 }, "v[1.5]: a list has no such key, and no holes" },
    }
  end)

  it("is a map", function()
    fits({ map = "integer" }, {}, { a = 1, [5] = 2 }, { 1, 2 })
    fits({ map = "any", keys = { type = "string", pattern = "^x" } }, {}, { x1 = true })
    table_driven {
      { { map = "integer" }, "x", 'v: expected table, got "x"' },
      { { map = "integer" }, { a = "b" }, 'v.a: expected integer, got "b"' },
      { { map = "integer" }, { ["a b"] = "b" }, 'v["a b"]: expected integer, got "b"' },
      { { map = "integer", keys = "string" }, { 1 }, "v[1]: a bad key: expected string, got 1" },
      { { map = { map = "integer" } }, { a = { b = 0.5 } }, "v.a.b: expected integer, got 0.5" },
      { { map = "any", keys = { type = "integer", check = even } }, { 1 },
        "v[1]: must be even, got 1" },
    }
  end)

  it("has fields, and no others", function()
    local size = { type = "integer", min = 1, max = 10000 }
    local image = { fields = { width = size, height = size, name = "string?" } }
    fits(image, { width = 1, height = 2 }, { width = 1, height = 2, name = "x" })
    fits({ fields = {} }, {})
    fits({ fields = { "integer", "string" } }, { 1, "x" })
    fits({ fields = { a = "integer" }, open = true }, { a = 1, b = 2, 3 })
    table_driven {
      { image, 5, "v: expected table, got 5" },
      { image, { width = 1 }, "v.height: expected integer in 1..10000, got nil" },
      { image, { width = "wide", height = 1 },
        'v.width: expected integer in 1..10000, got "wide"' },
      { image, { widht = 1, height = 1 }, 'v.widht: unknown field; did you mean "width"?' },
      { image, { width = 1, height = 1, preposterous = 1 },
        "v.preposterous: unknown field; there are height, name and width" },
      { image, { width = 1, height = 1, 7 },
        "v[1]: unknown field; there are height, name and width" },
      { { fields = {} }, { a = 1 }, "v.a: unknown field; there is none" },
      { { fields = { "integer", "string" } }, { 1, 2 }, "v[2]: expected string, got 2" },
      { { fields = { "integer" } }, { 1, 2 }, "v[2]: unknown field; there are 1" },
      { { fields = { a = "integer" }, open = true }, { b = 1 }, "v.a: expected integer, got nil" },
      { { fields = { a = { list = image } } }, { a = { { width = 1, height = false } } },
        "v.a[1].height: expected integer in 1..10000, got false" },
    }
  end)

  it("is read without metamethods", function()
    local function lie()
      return 5
    end
    local liar = setmetatable({}, { __index = lie, __len = lie, __pairs = error })
    fits({ list = "string" }, liar)
    assert.equal("v.a: expected integer, got nil", wrong({ fields = { a = "integer" } }, liar))
  end)
end)

describe("a schema of schemas", function()
  it("fits any of them", function()
    local either = { any_of = { "integer", { one_of = { "auto" } }, { list = "integer" } } }
    fits(either, 1, "auto", {}, { 1 })
    fits({ any_of = { "integer?", "string" } }, nil, "x")
    fits({ any_of = { "integer" }, optional = true }, nil)
    table_driven {
      { either, true, 'v: expected integer, "auto" or list, got true' },
      { either, nil, 'v: expected integer, "auto" or list, got nil' },
      { either, { 1, "x" }, 'v[2]: expected integer, got "x"' },
    }
  end)

  it("has a check of its own, called when the rest fits", function()
    fits({ type = "integer", check = even }, 2)
    fits({ type = "integer", check = even, optional = true }, nil)
    fits({ check = even }, 2)
    table_driven {
      { { type = "integer", check = even }, 3, "v: must be even, got 3" },
      { { type = "integer", check = even }, "3", 'v: expected integer, got "3"' },
      { { check = function() return false end }, 3,
        "v: expected any value but nil that passes its check, got 3" },
      { { type = "integer", min = 1, check = function() end }, 3,
        "v: expected integer of at least 1 that passes its check, got 3" },
      { { list = "integer", check = function(list) return #list ~= 2, "\27two" end }, { 1, 2 },
        [[v: \x1Btwo, got table]] },
      { { list = { check = even } }, { 2, 3 }, "v[2]: must be even, got 3" },
    }
    local at, _, _, _, fault = validation.compile({ list = { check = error } }, "s") { "no" }
    assert.equal("[1]", at)
    assert.same({ where = "s.list.check", err = "no" }, fault)
  end)

  it("may be in several places", function()
    local shared = { type = "integer" }
    fits({ fields = { a = shared, b = { list = shared } } }, { a = 1, b = { 2 } })
  end)
end)

describe("a check", function()
  it("makes nothing when all is right", function()
    local checks = validation.compile_list({
      { type = "integer", min = 1 },
      { any_of = { "integer", { type = "string", pattern = "^a" } } },
      { fields = { a = "boolean?", b = { list = "number" } } },
    }, "s")
    local verify = values.verifier(checks, nil, "argument", error)
    local third = { b = { 1, 2.5 } }
    verify(1, "abc", third)
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    for _ = 1, 1000 do
      verify(1, "abc", third)
    end
    local made = collectgarbage "count" - before
    collectgarbage "restart"
    assert.is_true(made < 1, made .. " KB")
  end)

  it("is of as many values as there are", function()
    for count = 0, 10 do
      local checks, given = {}, {}
      for index = 1, count do
        checks[index] = validation.compile("integer?", "s")
        given[index] = index
      end
      local found
      local verify = values.verifier(checks, nil, "argument", function(index)
        found = found or index
      end)
      verify()
      verify(table.unpack(given))
      verify(table.unpack(given, 1, count + 3))
      assert.is_nil(found)
      for index = 1, count + 1 do
        given[index] = "x"
        verify(table.unpack(given, 1, count + 1))
        assert.equal(index, found)
        found, given[index] = nil, index <= count and index or nil
      end
      verify(table.unpack({ [count + 6] = "x" }, 1, count + 6))
      assert.equal(count + 6, found)
    end
  end)
end)

describe("the annotation validate", function()
  local function validated(fn)
    return managed(function(pm)
      fn(pm:spawn "workers.validated")
    end)
  end

  it("lets through what fits", validated(function(worker)
    local size = { width = 1, height = 10000 }
    assert.same({ "a", size }, { worker:resize("a", size) })
    assert.same({ "a", size, true }, { worker:resize("a", size, true) })
    assert.same({ 1, "a", "b", "c" }, { worker:join(1, "a", "b", "c") })
    assert.same({ 1 }, { worker:join(1) })
    assert.equal(0, select("#", worker:nothing()))
    assert.equal(5, worker:count(1, 2, 3, 4, 5))
    assert.equal(6, worker:count(1, 2, 3, 4, 5, nil))
    assert.equal(5, worker:ran())
  end))

  it("refuses arguments before the method has them", validated(function(worker)
    local err = expect.error("validation_failed", worker.resize, worker, "a",
      { width = 1, height = "wide" })
    assert.equal('args[2].height: expected integer in 1..10000, got "wide"', err.message)
    assert.same({ path = "args[2].height", expected = "integer in 1..10000", given = '"wide"' },
      err.details)
    assert.equal("validated", err.process)
    assert.equal("resize", err.method)
    assert.is_false(err.retryable)
    err = expect.error("validation_failed", worker.resize, worker)
    assert.equal("args[1]: expected string of at least 1 bytes, got nil", err.message)
    assert.equal("nil", err.details.given)
    err = expect.error("validation_failed", worker.inside, worker, "a", { widht = 1 })
    assert.equal('args[2].widht: unknown field; did you mean "width"?', err.message)
    assert.is_nil(err.details.given)
    assert.equal(0, worker:ran())
  end))

  it("refuses arguments that are too many, but not a nil at the end", validated(function(worker)
    local size = { width = 1, height = 1 }
    local err = expect.error("validation_failed", worker.resize, worker, "a", size, nil, 4)
    assert.equal("args[4]: expected no more than 3 arguments, got 4", err.message)
    err = expect.error("validation_failed", worker.resize, worker, "a", size, nil, nil, nil, 6)
    assert.equal("args[6]: expected no more than 3 arguments, got 6", err.message)
    err = expect.error("validation_failed", worker.nothing, worker, "x")
    assert.equal('args[1]: expected no more than 0 arguments, got "x"', err.message)
    err = expect.error("validation_failed", worker.join, worker, 1, "a", "b", "c", 5)
    assert.equal("args[5]: expected string, got 5", err.message)
    err = expect.error("validation_failed", worker.count, worker, 1, 2, 3, 4)
    assert.equal("args[5]: expected integer, got nil", err.message)
    worker:nothing(nil, nil)
  end))

  it("refuses results", validated(function(worker)
    assert.same({ status = "ok" }, worker:answer { status = "ok" })
    local err = expect.error("validation_failed", worker.answer, worker, { status = 5 })
    assert.equal('result.status: expected "ok" or "failed", got 5 (the method returned it)',
      err.message)
    assert.equal("result.status", err.details.path)
    err = expect.error("validation_failed", worker.answer, worker)
    assert.equal("result: expected table, got nil (the method returned it)", err.message)
    err = expect.error("validation_failed", worker.answer, worker, { status = "ok" }, 2)
    assert.equal("result[2]: expected no more than 1 result, got 2 (the method returned it)",
      err.message)
    assert.same({ 1, "x" }, { worker:pair(1, "x") })
    err = expect.error("validation_failed", worker.pair, worker, 1, 2)
    assert.equal("result[2]: expected string, got 2 (the method returned it)", err.message)
    err = expect.error("validation_failed", worker.none, worker, 1)
    assert.equal("result[1]: expected no more than 0 results, got 1 (the method returned it)",
      err.message)
    worker:none()
  end))

  it("calls a check of the user's, which may wait or fail", validated(function(worker)
    assert.equal(14, worker:strange(14))
    local err = expect.error("validation_failed", worker.strange, worker, 15)
    assert.equal("args[1]: must not be fifteen, got 15", err.message)
    err = expect.error("remote_error", worker.strange, worker, 13)
    expect.part({ "validated.strange: validate.args[1].check raised: ", "in front of the guests" },
      err.message)
  end))
end)

describe("a schema that is refused", function()
  local function refused(validate)
    return (expect.error("invalid_config", titan.process, {
      name = "c", methods = { m = { validate = validate, function() end } },
    }).message:gsub("^c%.methods%.m%.validate", "@"))
  end

  local function of_argument(schema)
    return (refused({ args = { "any", schema } }):gsub("^@%.args%[2%]", "@"))
  end

  it("checks nothing", function()
    assert.equal("@: nothing is checked; give args, result, or both", refused {})
    expect.part("@: expected a table, given boolean true", refused(true))
    expect.part('@.arg: unknown key; did you mean "args"?', refused { arg = {} })
    expect.part('@.args: expected a list of schemas, given string "x"', refused { args = "x" })
  end)

  it("is no list of schemas", function()
    assert.equal('@.args.rset: unknown key; did you mean "rest"?',
      refused { args = { rset = "any" } })
    expect.part("@.args[2]: missing; a list of schemas has no holes",
      refused { args = { "any", nil, "any" } })
    expect.part("@.args[3]: unknown key; a list", refused { args = { [3] = "any" } })
    expect.part('@.args.rest: unknown type "x"', refused { args = { rest = "x" } })
    expect.part('@.result: unknown type "x"', refused { result = "x" })
    expect.part('@.result[1]: unknown type "x"', refused { result = { "x" } })
    expect.part('@.result.rest: unknown type "x"', refused { result = { rest = "x" } })
    expect.part("@.result: a schema is the name of a type, or a table, given number 5",
      refused { result = 5 })
  end)

  it("has a type that does not exist", function()
    assert.equal('@: unknown type "intger"; did you mean "integer"?', of_argument "intger")
    assert.equal('@: unknown type "intger"; did you mean "integer"?', of_argument "intger?")
    assert.equal('@.type: unknown type "strng"; did you mean "string"?',
      of_argument { type = "strng" })
    assert.equal('@: unknown type ""; there are any, boolean, buffer, integer, number, string '
      .. "and table",
      of_argument "")
    assert.equal("@: a schema is the name of a type, or a table, given boolean true",
      of_argument(true))
    expect.part("@.type: expected a string", of_argument { type = 5 })
    expect.part("@: the schema does not say what a value is", of_argument {})
    expect.part("@: the schema does not say what a value is", of_argument { optional = true })
  end)

  it("has keys that do not exist, or go with another form", function()
    assert.equal('@.mim: unknown key; did you mean "min"?',
      of_argument { type = "integer", mim = 1 })
    assert.equal('@.field: unknown key; did you mean "fields"?',
      (of_argument { fields = {}, field = 1 }))
    expect.part("@.pattern: unknown key", of_argument { list = "any", pattern = "x" })
    expect.part("@[1]: every key is named by a string", of_argument { "integer" })
    assert.equal("@.min: the type string has no min; it has min_len, max_len, pattern and one_of",
      of_argument { type = "string", min = 1 })
    assert.equal("@.max_len: the type integer has no max_len; it has min, max and one_of",
      of_argument { type = "integer", max_len = 1 })
    assert.equal("@.pattern: the type table has no pattern; it has none",
      of_argument { type = "table", pattern = "x" })
    assert.equal("@.min: a schema without a type has no min; it has one_of",
      of_argument { min = 1, check = print })
    expect.part("@.max: one_of says all", of_argument { type = "integer", max = 1, one_of = { 1 } })
  end)

  it("has bounds that nothing fits, or that are none", function()
    assert.equal("@.min: min (10) is above max (1)",
      of_argument { type = "integer", min = 10, max = 1 })
    assert.equal("@.min_len: min_len (2) is above max_len (1)",
      of_argument { type = "string", min_len = 2, max_len = 1 })
    assert.equal("@.min_len: min_len (2) is above max_len (1)",
      of_argument { list = "any", min_len = 2, max_len = 1 })
    expect.part('@.min: expected a number, given string "1"',
      of_argument { type = "integer", min = "1" })
    expect.part("@.min: expected a number, given number",
      of_argument { type = "number", min = NAN })
    expect.part("@.min_len: expected an integer of at least 0, given number -1",
      of_argument { type = "string", min_len = -1 })
    expect.part("@.check: expected a function", of_argument { check = 1 })
    expect.part("@.optional: expected true or false", of_argument { type = "any", optional = 1 })
  end)

  it("has a bad pattern", function()
    for pattern, why in pairs {
      ["a%"] = "it ends with %", ["a["] = "a [ is not closed", ["[^]"] = "a [ is not closed",
      ["[%]"] = "a [ is not closed", ["(a"] = "a ( is not closed", ["a.)"] = "a ) closes nothing",
      ["%bx"] = "%b needs two characters", ["%fa"] = "%f needs a [ behind it",
      ["%1"] = "there is no such capture as %1", ["(a%1)"] = "there is no such capture as %1",
      [("(a)"):rep(33)] = "it has too many captures",
    } do
      assert.equal("@.pattern: a bad pattern: " .. why,
        of_argument { type = "string", pattern = pattern })
      assert.is_false(pcall(string.find, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", pattern))
    end
    for _, pattern in ipairs { "", "^", "$", "[]]", "[^]]", "[%]]", "(a)%1", "()", "%b()", "%f[%w]",
      "((a)(b))%3", "[a-]", "a-", "^%d+%.?%d*$", "]", "%%", "[[]", ("(a)"):rep(32) } do
      fits({ type = "string?", pattern = pattern }, nil)
      assert.is_true(pcall(string.find, "(aab", pattern))
    end
  end)

  it("has values or schemas that are none", function()
    expect.part("@.one_of: nothing fits an empty one_of", of_argument { one_of = {} })
    expect.part("@.one_of[2]: expected a string, a number or a boolean, given table",
      of_argument { one_of = { 1, {} } })
    expect.part('@.one_of[1]: no integer, given string "x"',
      of_argument { type = "integer", one_of = { "x" } })
    expect.part("@.one_of.a: one_of is a list", of_argument { one_of = { a = 1 } })
    expect.part("@.any_of: nothing fits an empty any_of", of_argument { any_of = {} })
    expect.part("@.any_of: expected a table", of_argument { any_of = "integer" })
    expect.part('@.any_of[2]: unknown type "x"', of_argument { any_of = { "any", "x" } })
    expect.part("@.any_of.a: any_of is a list", of_argument { any_of = { a = "any" } })
    expect.part('@.list: unknown type "x"', of_argument { list = "x" })
    expect.part('@.map.list.keys: unknown type "x"',
      of_argument { map = { list = { map = "any", keys = "x" } } })
    local inside = { fields = { ["b c"] = { type = "number", min = 2, max = 1 } } }
    expect.part('@.fields.a.fields["b c"].min: min (2) is above max (1)',
      of_argument { fields = { a = inside } })
    expect.part("@.fields[true]: a field's name is a string or an integer, not a boolean",
      of_argument { fields = { [true] = "any" } })
  end)

  it("has no end", function()
    local endless = { fields = {} }
    endless.fields.next = { list = endless, optional = true }
    assert.equal("@.fields.next.list: the schema contains itself", of_argument(endless))
    local any = { any_of = { "integer" } }
    any.any_of[2] = any
    assert.equal("@.any_of[2]: the schema contains itself", of_argument(any))
  end)
end)
