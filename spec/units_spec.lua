local units = require "titan.units"

---@param read fun(value: any): integer?, string?
---@param value any
---@param why string
local function refuses(read, value, why)
  local amount, message = read(value)
  assert.is_nil(amount)
  assert.truthy(message:find(why, 1, true), message)
end

describe("units.duration", function()
  local cases = {
    { 0, 0 }, { 1, 1 }, { 250, 250 }, { 30000, 30000 },
    { 0.5, 1 }, { 0.001, 1 }, { 2.0, 2 }, { 2.1, 3 }, { -0.0, 0 },
    { "250ms", 250 }, { "30s", 30000 }, { "5m", 300000 }, { "1h", 3600000 },
    { "0ms", 0 }, { "0s", 0 }, { "007s", 7000 },
    { "1.5s", 1500 }, { "0.5ms", 1 }, { "0.001ms", 1 }, { "1.5h", 5400000 }, { "0.25m", 15000 },
    { "1.1s", 1100 }, { "2.3s", 2300 }, { "1.0001s", 1001 }, { "1.50000000000000s", 1500 },
    { "0.000000001s", 1 }, { "876000h", 3153600000000 }, { 3153600000000, 3153600000000 },
  }
  for _, case in ipairs(cases) do
    it("reads " .. tostring(case[1]), function()
      local milliseconds, why = units.duration(case[1])
      assert.is_nil(why)
      assert.equal(case[2], milliseconds)
      assert.equal("integer", math.type(milliseconds))
    end)
  end

  local mistakes = {
    { -1, "-1 is not a duration: it is negative" },
    { -0.1, "-0.1 is not a duration: it is negative" },
    { 0 / 0, "is not a number" },
    { math.huge, "is not finite" },
    { -math.huge, "is negative" },
    { 3153600000001, "is too large, the most is 876000h" },
    { 1e300, "is too large" },
    { "876001h", "is too large" },
    { "876000.1h", "is too large" },
    { "9223372036854775807h", "is too large" },
    { "9223372036854775808ms", "is too large" },
    { ("9"):rep(400) .. "ms", "is too large" },
    { "", '"" is not a duration: it is empty' },
    { " 5s", "holds white space" },
    { "5s ", "holds white space" },
    { "5 s", '"5 s" is not a duration: it holds white space' },
    { "5s\n", '"5s\\n" is not a duration' },
    { "-5s", "is negative" },
    { "5", "has no unit" },
    { "1.5", "has no unit" },
    { "s", "is not a number followed by a unit" },
    { "1.s", "is not a number followed by a unit" },
    { ".5s", "is not a number followed by a unit" },
    { "+5s", "is not a number followed by a unit" },
    { "1e3ms", "is not a number followed by a unit" },
    { "0x10ms", "is not a number followed by a unit" },
    { "1h30m", "is not a number followed by a unit" },
    { "1,5s", "is not a number followed by a unit" },
    { "5s\0", "is not a number followed by a unit" },
    { "5d", 'has the unknown unit "d"' },
    { "5S", 'has the unknown unit "S"' },
    { "5sec", 'has the unknown unit "sec"' },
    { "5KB", 'has the unknown unit "KB"' },
    { "1.0000000001s", "has more than nine decimals" },
    { true, "true is not a duration: it is neither a number nor a string" },
    { {}, "is neither a number nor a string" },
    { nil, "nil is not a duration" },
  }
  for index = 1, #mistakes do
    local value, why = mistakes[index][1], mistakes[index][2]
    it("refuses " .. tostring(value):sub(1, 30), function()
      refuses(units.duration, value, why)
    end)
  end

  it("says what may be written instead", function()
    refuses(units.duration, "soon",
      'write a number of milliseconds, or a string such as "250ms", "1.5s", "5m" or "1h"')
  end)

  it("does not repeat a long string in full", function()
    local _, why = units.duration(("x"):rep(10000))
    assert.is_true(#why < 300)
  end)
end)

describe("units.size", function()
  local cases = {
    { 0, 0 }, { 1, 1 }, { 4096, 4096 }, { 4096.0, 4096 }, { 0.5, 1 },
    { "0B", 0 }, { "10B", 10 }, { "64KB", 65536 }, { "512MB", 536870912 }, { "1GB", 1073741824 },
    { "1.5KB", 1536 }, { "0.1KB", 103 }, { "1.1GB", 1181116007 },
    { (1 << 53) - 1, (1 << 53) - 1 },
  }
  for _, case in ipairs(cases) do
    it("reads " .. tostring(case[1]), function()
      local bytes, why = units.size(case[1])
      assert.is_nil(why)
      assert.equal(case[2], bytes)
      assert.equal("integer", math.type(bytes))
    end)
  end

  local mistakes = {
    { -1, "-1 is not a size: it is negative" },
    { 0 / 0, "is not a number" },
    { math.huge, "is not finite" },
    { 1 << 53, "is too large, the most is 8388607GB" },
    { "8388608GB", "is too large" },
    { "99999999999999999999GB", "is too large" },
    { "", "is empty" },
    { "64 KB", "holds white space" },
    { "-64KB", "is negative" },
    { "64", "has no unit" },
    { "64kb", 'has the unknown unit "kb"' },
    { "64K", 'has the unknown unit "K"' },
    { "64KiB", 'has the unknown unit "KiB"' },
    { "1TB", 'has the unknown unit "TB"' },
    { "5m", 'has the unknown unit "m"' },
    { "KB", "is not a number followed by a unit" },
    { false, "is neither a number nor a string" },
  }
  for _, mistake in ipairs(mistakes) do
    it("refuses " .. tostring(mistake[1]), function()
      refuses(units.size, mistake[1], mistake[2])
    end)
  end

  it("says what may be written instead", function()
    refuses(units.size, "big",
      'write a number of bytes, or a string such as "10B", "64KB", "512MB" or "1GB"')
  end)
end)

describe("units.format_duration", function()
  local cases = {
    { 0, "0ms" }, { 1, "1ms" }, { 250, "250ms" }, { 999, "999ms" }, { 1000, "1s" },
    { 1500, "1.5s" }, { 1234, "1.234s" }, { 30000, "30s" }, { 60000, "1m" }, { 75000, "75s" },
    { 90000, "1.5m" }, { 300000, "5m" }, { 3600000, "1h" }, { 4500000, "75m" }, { 5400000, "1.5h" },
    { 36000000, "10h" }, { 0.4, "0ms" }, { 0.6, "1ms" }, { 1500.2, "1.5s" },
  }
  for _, case in ipairs(cases) do
    it("writes " .. case[1] .. " as " .. case[2], function()
      assert.equal(case[2], units.format_duration(case[1]))
    end)
  end

  it("writes what units.duration reads back as the same", function()
    for _, milliseconds in ipairs {
      0, 1, 17, 999, 1001, 59999, 61000, 366000, 123456789, 3153600000000,
    } do
      assert.equal(milliseconds, units.duration(units.format_duration(milliseconds)))
    end
  end)
end)

describe("units.format_size", function()
  local cases = {
    { 0, "0B" }, { 10, "10B" }, { 1023, "1023B" }, { 1024, "1KB" }, { 1536, "1.5KB" },
    { 65536, "64KB" }, { 1023 * 1024, "1023KB" }, { 536870912, "512MB" },
    { 1073741823, "1GB" }, { 1073741824, "1GB" }, { 1 << 50, "1048576GB" }, { 0.7, "1B" },
  }
  for _, case in ipairs(cases) do
    it("writes " .. case[1] .. " as " .. case[2], function()
      assert.equal(case[2], units.format_size(case[1]))
    end)
  end
end)
