local expect = require "support.expect"
local managed = require "support.managed"

local TOO_DEEP = "tables nested more than 64 deep (limits.nesting)"

---@param module string
---@param fn fun(worker: table)
local function with_worker(module, fn)
  return managed(function(pm)
    fn(pm:spawn("workers." .. module))
  end)
end

-- The values must come back as they are, each of its own kind of number.
local function travel(worker, ...)
  local sent, got = table.pack(...), table.pack(worker:echo(...))
  assert.same(sent, got)
  for i = 1, sent.n do
    assert.equal(math.type(sent[i]), math.type(got[i]))
  end
end

-- So many tables, one in the other.
local function nested(depth)
  local inner = {}
  for _ = 2, depth do
    inner = { inner }
  end
  return inner
end

describe("a list of values", function()
  it("keeps its nils, in the middle and at the end", with_worker("echo", function(worker)
    for _, list in ipairs {
      table.pack(), table.pack(nil), table.pack(nil, nil), table.pack(1, nil, 3),
      table.pack(1, nil, nil), table.pack(nil, 2), table.pack(nil, nil, 3, nil),
    } do
      travel(worker, table.unpack(list, 1, list.n))
      assert.equal(list.n, worker:count(table.unpack(list, 1, list.n)))
    end
  end))

  it("may be two hundred values long", with_worker("echo", function(worker)
    local list = {}
    for i = 1, 200 do
      list[i] = i % 3 == 0 and "text " .. i or i
    end
    travel(worker, table.unpack(list))
    assert.equal(200, worker:count(table.unpack(list)))
  end))
end)

describe("a number", function()
  it("stays an integer or a float", with_worker("echo", function(worker)
    travel(worker, 0, 0.0, 1, 1.0, -1, -1.0, 1 << 53, 2.0 ^ 53, 10 ^ 15, 1000000000000000)
    assert.equal("integer 1, float 0x1p+0", worker:shown(1, 1.0))
  end))

  it("may be an integer of any size", with_worker("echo", function(worker)
    local integers = { math.maxinteger - 1, math.mininteger + 1 }
    for bits = 0, 63 do
      for near = -1, 1 do
        integers[#integers + 1] = (1 << bits) + near
        integers[#integers + 1] = -(1 << bits) + near
      end
    end
    travel(worker, table.unpack(integers))
    travel(worker, integers)
    assert.equal("integer 0x8000000000000000, integer 9223372036854775807",
      worker:shown(math.mininteger, math.maxinteger))
  end))

  it("may be infinite, or nearly nothing", with_worker("echo", function(worker)
    travel(worker, math.huge, -math.huge, 5e-324, -5e-324, 1.7976931348623157e308, 0.1, 1 / 3)
  end))

  it("may be minus zero", with_worker("echo", function(worker)
    assert.equal("float -0x0p+0, float 0x0p+0", worker:shown(-0.0, 0.0))
    assert.equal(-math.huge, 1 / worker:echo(-0.0))
  end))

  it("may be not a number", with_worker("echo", function(worker)
    local nan = worker:echo(0 / 0)
    assert.equal("float", math.type(nan))
    assert.is_true(nan ~= nan)
  end))
end)

describe("a boolean or a string", function()
  it("arrives", with_worker("echo", function(worker)
    travel(worker, true, false, "", "a", "gr\u{FC}\u{DF}e", "1", "1.0", "nil")
    assert.equal('true, false, "1", "nil", nil', worker:shown(true, false, "1", "nil", nil))
  end))

  it("may hold any byte", with_worker("echo", function(worker)
    local bytes = {}
    for byte = 0, 255 do
      bytes[#bytes + 1] = string.char(byte)
    end
    local all = table.concat(bytes)
    travel(worker, "\0", "\0\0\0", "a\0b", all, "\xFF\xFE", { ["k\0ey"] = all })
    assert.equal(256, worker:length(all))
  end))

  it("may be of any length", with_worker("echo", function(worker)
    for _, length in ipairs { 31, 32, 255, 256, 65535, 65536 } do
      local text = ("\0\xC1x"):rep(length):sub(1, length)
      assert.is_true(worker:echo(text) == text)
      assert.equal(length, worker:length(text))
    end
  end))

  it("may be a mebibyte long", with_worker("echo", function(worker)
    local text = ("0123456789abcde\0"):rep(65536)
    local inside, beside = worker:echo({ text, text }, text)
    assert.equal(1 << 20, worker:length(text))
    assert.is_true(inside[1] == text and inside[2] == text and beside == text)
  end))
end)

describe("a table", function()
  local tables = {
    ["is empty"] = {},
    ["is an array"] = { 1, "two", 3.5, true, false, { 1, { 2 } } },
    ["has holes"] = { 1, nil, 3, nil, 5 },
    ["has holes and an explicit n"] = { 1, nil, 3, nil, n = 4 },
    ["has nothing but holes"] = { n = 3 },
    ["is a map"] = { a = 1, b = { c = { d = "e" } }, [""] = "empty" },
    ["is an array and a map"] = { 1, 2, 3, name = "x" },
    ["has integers as keys"] = {
      [0] = "zero", [-1] = "minus", [1 << 40] = "far", [math.mininteger] = "least",
    },
    ["has floats as keys"] = { [0.5] = "half", [-1.25] = "x", [math.huge] = "all", [2.0 ^ 70] = 2 },
    ["has booleans as keys"] = { [true] = 1, [false] = 0 },
    ["has keys that look alike"] = { [1] = "integer", ["1"] = "string" },
    ["holds empty tables"] = { {}, {}, { {} }, a = {} },
    ["holds one table twice"] = (function(shared)
      return { shared, { shared }, key = shared }
    end) { 1, 2 },
  }
  for what, value in pairs(tables) do
    it("that " .. what .. " arrives", with_worker("echo", function(worker)
      travel(worker, value)
    end))
  end

  it("of any number of entries arrives", with_worker("echo", function(worker)
    for _, count in ipairs { 15, 16, 65535, 65536 } do
      local array, map = worker:numbers(count), {}
      for i = 1, count do
        assert(array[i] == i)
        map["k" .. i] = i
      end
      assert.is_nil(array[count + 1])
      map = worker:echo(map)
      for i = 1, count do
        assert(map["k" .. i] == i)
      end
    end
  end))

  it("may be nested 64 deep", with_worker("echo", function(worker)
    travel(worker, nested(64))
  end))
end)

-- What is refused, and how the message ends, wherever the value stands.
local function untravelling()
  local cycle = { list = { 1 } }
  cycle.list[2] = cycle
  local only = " cannot travel: only nil, booleans, numbers, strings, buffers and tables of these "
    .. "can"
  return {
    ["function"] = { value = print, path = "", why = "a function" .. only },
    userdata = { value = io.stdout, path = "", why = "a userdata" .. only },
    coroutine = { value = coroutine.create(print), path = "", why = "a thread" .. only },
    cycle = {
      value = cycle, path = ".list[2]", why = "a table that contains itself: cycles cannot travel",
    },
    key = {
      value = { rows = { [{}] = 1 } }, path = ".rows[table]",
      why = "a table as a key cannot travel",
    },
  }
end

describe("an argument that cannot travel", function()
  for kind, case in pairs(untravelling()) do
    it("for a " .. kind .. " is refused in the caller", with_worker("echo", function(worker)
      local err = expect.error("validation_failed", worker.echo, worker, case.value)
      assert.equal("argument 1" .. case.path .. ": " .. case.why, err.message)
      assert.equal("echo", err.method)
      assert.equal("echo", err.process)
      assert.is_false(err.retryable)
      err = expect.error("validation_failed", worker.echo, worker, 1, nil,
        { a = { 1, { [0.5] = { [-3] = case.value } } } })
      expect.part({ "argument 3.a[2][0.5][-3]", case.why }, err.message)
    end))
  end

  it("for its nesting is named by the end of its path", with_worker("echo", function(worker)
    local err = expect.error("validation_failed", worker.echo, worker, nested(65))
    assert.equal("argument 1..." .. ("[1]"):rep(52) .. ": " .. TOO_DEEP, err.message)
  end))

  it("never reaches the worker", with_worker("echo", function(worker)
    for _, case in pairs(untravelling()) do
      expect.error("validation_failed", worker.calls, worker, 1, case.value)
    end
    assert.equal(1, worker:calls())
  end))

  it("leaves the calls around it alone", with_worker("echo", function(worker)
    local before = worker.async:echo("before")
    expect.error("validation_failed", worker.echo, worker, ("x"):rep(100000), print)
    local after = worker.async:echo("after")
    assert.equal("before", before:await())
    assert.equal("after", after:await())
  end))
end)

describe("a result that cannot travel", function()
  for kind, case in pairs(untravelling()) do
    it("for a " .. kind .. " is an error of that call", with_worker("untravelling", function(worker)
      local beside = worker.async:alive()
      local err = expect.error("validation_failed", worker.value, worker, kind)
      assert.equal("result 1" .. case.path .. ": " .. case.why, err.message)
      assert.equal("value", err.method)
      assert.equal("untravelling", err.process)
      err = expect.error("validation_failed", worker.second, worker, kind)
      expect.part({ "result 2.list[2].deep", case.why }, err.message)
      assert.is_true(beside:await())
      assert.is_true(worker:alive())
    end))
  end

  it("for its nesting is an error of that call", with_worker("untravelling", function(worker)
    local err = expect.error("validation_failed", worker.nested, worker, 65)
    assert.equal("result 1..." .. ("[1]"):rep(52) .. ": " .. TOO_DEEP, err.message)
    assert.is_true(worker:alive())
  end))

  it("is counted as a failed call", managed(function(pm)
    local worker = pm:spawn "workers.untravelling"
    expect.error("validation_failed", worker.value, worker, "function")
    assert.equal(1, pm:get_process_info("untravelling").activity.errors)
  end))

  it("is not one that is nested 64 deep", with_worker("untravelling", function(worker)
    assert.same(nested(64), worker:nested(64))
  end))
end)

describe("limits.nesting", function()
  for _, most in ipairs { 1, 3, 200 } do
    it("may be " .. most, managed({ limits = { nesting = most } }, function(pm)
      local echo, worker = pm:spawn "workers.echo", pm:spawn "workers.untravelling"
      travel(echo, nested(most), nested(most))
      local why = "more than " .. most .. " deep (limits.nesting)"
      local err = expect.error("validation_failed", echo.echo, echo, nested(most + 1))
      expect.part({ "argument 1", why }, err.message)
      err = expect.error("validation_failed", worker.nested, worker, most + 1)
      expect.part({ "result 1", why }, err.message)
      assert.is_true(worker:alive())
    end))
  end
end)
