require "titan"
local core = require "titan.core"
local traceparent = require "titan.tracing.traceparent"

local TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
local PARENT = "00f067aa0ba902b7"
local GOOD = "00-" .. TRACE .. "-" .. PARENT .. "-01"

describe("a traceparent", function()
  local valid = {
    { GOOD, true },
    { "00-" .. TRACE .. "-" .. PARENT .. "-00", false },
    { "00-" .. TRACE .. "-" .. PARENT .. "-03", true },
    { "00-" .. TRACE .. "-" .. PARENT .. "-fe", false },
    { "01-" .. TRACE .. "-" .. PARENT .. "-01", true },
    { "01-" .. TRACE .. "-" .. PARENT .. "-01-what-comes-later", true },
    { "fe-" .. TRACE .. "-" .. PARENT .. "-00-", false },
  }
  for _, case in ipairs(valid) do
    it("is read: " .. case[1], function()
      local ids = case[2] and { true, TRACE, PARENT } or { false }
      assert.same(ids, { core.traceparent(case[1]) })
    end)
  end

  local malformed = {
    ["that is empty"] = "",
    ["that is not a string"] = 5,
    ["with upper-case hex"] = GOOD:upper(),
    ["with one upper-case digit"] = GOOD:gsub("f", "F", 1),
    ["with something that is not hex"] = GOOD:gsub("f", "g", 1),
    ["of no trace"] = "00-" .. ("0"):rep(32) .. "-" .. PARENT .. "-01",
    ["of no parent"] = "00-" .. TRACE .. "-" .. ("0"):rep(16) .. "-01",
    ["of the version that is forbidden"] = "ff" .. GOOD:sub(3),
    ["of version 00 that goes on"] = GOOD .. "-00",
    ["of version 00 with a dash at its end"] = GOOD .. "-",
    ["of a later version that goes on without a dash"] = "01" .. GOOD:sub(3) .. ".what",
    ["with a short trace"] = "00-" .. TRACE:sub(2) .. "-" .. PARENT .. "-01",
    ["with a long trace"] = "00-0" .. TRACE .. "-" .. PARENT .. "-01",
    ["with a short parent"] = "00-" .. TRACE .. "-" .. PARENT:sub(2) .. "-01",
    ["with one digit of flags"] = GOOD:sub(1, -2),
    ["without flags"] = GOOD:sub(1, -4),
    ["with space before it"] = " " .. GOOD,
    ["with space after it"] = GOOD .. " ",
    ["with other dashes"] = GOOD:gsub("-", "_"),
    ["with a line end"] = GOOD .. "\n",
    ["with a NUL"] = GOOD .. "\0",
  }
  for what, given in pairs(malformed) do
    it(what .. " counts as none", function()
      assert.same({}, { core.traceparent(given) })
    end)
  end
end)

describe("a tracestate", function()
  local members = {}
  for i = 1, 33 do
    members[i] = "k" .. i .. "=v"
  end
  local valid = {
    "rojo=00f067aa0ba902b7", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a=1, \tb=2 ,,c=3",
    "fw529a3039@dt=FfAdVQAA;4", "a=x y", "1a=~", "a=" .. ("v"):rep(256),
    table.concat(members, ",", 1, 32),
  }
  for _, state in ipairs(valid) do
    it("is passed on as it is: " .. state:sub(1, 40), function()
      assert.equal(state, traceparent.state(state))
    end)
  end

  local malformed = {
    ["empty"] = "", ["commas alone"] = ",,", ["no value"] = "a", ["an empty value"] = "a=",
    ["no key"] = "=1", ["an upper-case key"] = "A=1", ["two signs"] = "a=b=c",
    ["a control character"] = "a=\1", ["a line end"] = "a=1\r\nb: 2", ["not ASCII"] = "a=\u{e4}",
    ["too many members"] = table.concat(members, ","), ["a long value"] = "a=" .. ("v"):rep(257),
    ["a table"] = {},
  }
  for what, state in pairs(malformed) do
    it("is dropped when it has " .. what, function()
      assert.is_nil(traceparent.state(state))
    end)
  end
end)

describe("a new trace", function()
  local function pattern(flags)
    return "^00%-(" .. ("%x"):rep(32) .. ")%-(" .. ("%x"):rep(16) .. ")%-" .. flags .. "$"
  end

  it("has ids of its own, and says so when it is recorded", function()
    local text, span_id, trace_id = core.new_trace(traceparent.bound(1))
    assert.same({ trace_id, span_id }, { text:match(pattern "01") })
    assert.same({ true, trace_id, span_id }, { core.traceparent(text) })
    assert.not_equal(trace_id, (select(3, core.new_trace(traceparent.bound(1)))))
  end)

  it("has no ids to record when it is not", function()
    local text, span_id = core.new_trace(traceparent.bound(0))
    assert.truthy(text:find(pattern "00"))
    assert.is_nil(span_id)
  end)

  it("is recorded in a share of the cases", function()
    for _, ratio in ipairs { 0.25, 0.999 } do
      for _ = 1, 200 do
        local _, _, trace_id = core.new_trace(traceparent.bound(ratio))
        assert.is_true(not trace_id
          or tonumber(trace_id:sub(17, 20), 16) <= ratio * 65536)
      end
    end
  end)

  it("goes on with other spans", function()
    local text, span_id = core.new_span(TRACE)
    assert.equal("00-" .. TRACE .. "-" .. span_id .. "-01", text)
    assert.is_false((pcall(core.new_span, "short")))
  end)
end)
