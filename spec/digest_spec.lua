local core = require "titan.core"
local expect = require "support.expect"

local digest = core.digest

-- The same content by another way: keys that were there and are gone, another order, other sizes.
local function rebuilt(map, seed)
  local keys = {}
  for key in pairs(map) do
    table.insert(keys, seed % (#keys + 1) + 1, key)
  end
  local copy = {}
  for i = 1, seed * 7 do
    copy["gone" .. i] = i
  end
  for _, key in ipairs(keys) do
    copy[key] = type(map[key]) == "table" and rebuilt(map[key], seed + 1) or map[key]
  end
  for i = 1, seed * 7 do
    copy["gone" .. i] = nil
  end
  return copy
end

local function words(count)
  local map = {}
  for i = 1, count do
    map["word " .. i] = { n = i, [i * 0.5] = true, [-i] = "minus", [false] = i }
  end
  return map
end

describe("a digest", function()
  it("is the encoding of few arguments and a hash of many", function()
    assert.equal("\x90", digest())
    assert.equal("\x93\x01\xA3two\xC3", digest(1, "two", true))
    assert.equal(31, #digest(("x"):rep(29)))
    assert.equal(32, #digest(("x"):rep(30)))
    assert.equal(32, #digest(words(50)))
    assert.not_equal(digest(("x"):rep(30)), digest(("x"):rep(31)))
  end)

  it("of a hash cannot be met by other arguments", function()
    for i = 1, 300 do
      local hash = digest(("x"):rep(100) .. i)
      assert.not_equal(hash, digest(hash:sub(3)))
      assert.equal(32, #hash)
    end
  end)

  it("is the same for the same content, whatever its history", function()
    for count = 0, 40, 4 do
      local map = words(count)
      for seed = 1, 5 do
        assert.equal(digest(map, 1), digest(rebuilt(map, seed), 1))
      end
    end
    assert.equal(digest { a = 1, b = { c = 2, d = 3 } }, digest { b = { d = 3, c = 2 }, a = 1 })
    assert.equal(digest(setmetatable({ 1 }, { __index = print })), digest { 1 })
    assert.equal(digest(0 / 0), digest(-(0 / 0)))
    assert.equal(digest { [1.0] = "a" }, digest { "a" })
  end)

  it("has a map's keys in the order of their bytes", function()
    assert.equal("\x91\x83\x01\x07\xA1a\x01\xA2aa\x02", digest { aa = 2, a = 1, [1] = 7 })
    assert.equal("\x91\x82\xA1a\x82\xA1y\x01\xA1z\x02\xA1b\x03",
      digest { b = 3, a = { z = 2, y = 1 } })
  end)

  it("keeps apart what a method can tell apart", function()
    local seen = {}
    local lists = {
      { n = 0 }, { nil, n = 1 }, { nil, nil, n = 2 }, { 1 }, { 1.0 }, { "1" }, { true }, { false },
      { {} }, { { 1 } }, { { 1, 2 } }, { 1, 2 }, { { a = 1 } }, { { a = 1, b = 1 } }, { "a" },
      { { [1] = "a", [3] = "b" } }, { { "a", "b" } }, { 0.0 }, { -0.0 }, { "a", "b" }, { "ab" },
      { { ["1"] = "a" } }, { { 1, n = 1 } }, { words(9) }, { words(10) }, { words(9), 1 },
    }
    for i, list in ipairs(lists) do
      local key = digest(table.unpack(list, 1, list.n or #list))
      assert.is_nil(seen[key], "list " .. i .. " has the key of list " .. tostring(seen[key]))
      seen[key] = i
    end
  end)

  it("agrees with a comparison of the content, for any tables", function()
    local random = 7
    local function next_random(n)
      random = (random * 1103515245 + 12345) & 0x7FFFFFFF
      return (random >> 8) % n
    end
    local function any(depth)
      local kind = next_random(depth > 2 and 3 or 5)
      if kind < 3 then
        return ({ next_random(3), "k" .. next_random(3), next_random(2) == 0 })[kind + 1]
      end
      local made = {}
      for _ = 1, next_random(4) do
        made[({ next_random(4), "k" .. next_random(4) })[next_random(2) + 1]] = any(depth + 1)
      end
      return made
    end
    local function same(a, b)
      if type(a) ~= "table" or type(b) ~= "table" then
        return a == b
      end
      for key, value in pairs(a) do
        if not same(value, b[key]) then
          return false
        end
      end
      for key in pairs(b) do
        if a[key] == nil then
          return false
        end
      end
      return true
    end
    local equal = 0
    for _ = 1, 3000 do
      local a, b = any(0), any(0)
      assert.equal(same(a, b), digest(a) == digest(b))
      equal = equal + (same(a, b) and 1 or 0)
    end
    assert.truthy(equal > 30)
  end)

  it("refuses what cannot travel, naming the argument", function()
    local err = expect.error("validation_failed", digest, 1, { list = { z = 1, a = { print } } })
    expect.part("argument 2.list.a[1]: a function cannot travel", err.message)
    local cycle = {}
    cycle.me = cycle
    err = expect.error("validation_failed", digest, cycle)
    assert.equal("argument 1.me: a table that contains itself: cycles cannot travel", err.message)
    err = expect.error("validation_failed", digest, { [{}] = 1 })
    assert.equal("argument 1[table]: a table as a key cannot travel", err.message)
  end)
end)
