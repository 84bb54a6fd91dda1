local errors = require "titan.errors"

describe("errors.codes", function()
  it("holds every code of the reference and no other", function()
    local expected = {}
    for code in ([[invalid_config spawn_failed startup_timeout method_not_found not_public
      validation_failed timeout cancelled worker_lost overloaded rate_limited circuit_open
      limit_exceeded remote_error protocol_error unauthorized shutting_down
      destroyed]]):gmatch("%S+") do
      expected[code] = true
    end
    assert.same(expected, errors.codes)
  end)
end)

describe("errors.new", function()
  it("keeps code, message and every field", function()
    local details = { signal = "SIGKILL" }
    local err = errors.new("worker_lost", "killed", {
      details = details, process = "images", method = "resize", traceback = "somewhere",
    })
    assert.equal("worker_lost", err.code)
    assert.equal("killed", err.message)
    assert.equal(details, err.details)
    assert.equal("images", err.process)
    assert.equal("resize", err.method)
    assert.equal("somewhere", err.traceback)
  end)

  it("has the metatable that is exposed to the core", function()
    assert.equal(errors.metatable, getmetatable(errors.new("timeout", "late")))
  end)

  it("does not keep the table of fields", function()
    local fields = { process = "a" }
    local err = errors.new("timeout", "late", fields)
    fields.process = "b"
    assert.equal("a", err.process)
    assert.is_nil(fields.code)
  end)

  local retryable = {
    timeout = true, worker_lost = true, overloaded = true, rate_limited = true,
    circuit_open = true, shutting_down = true,
  }
  for code in pairs(errors.codes) do
    it("knows whether " .. code .. " is retryable", function()
      assert.equal(retryable[code] or false, errors.new(code, "m").retryable)
    end)
  end

  it("lets the caller say whether it is retryable", function()
    assert.is_false(errors.new("timeout", "m", { retryable = false }).retryable)
    assert.is_true(errors.new("remote_error", "m", { retryable = true }).retryable)
  end)

  it("raises a plain message at the caller for mistakes in its use", function()
    local mistakes = {
      ["errors_spec.lua:%d+: errors.new: unknown code worker_lsot"] = { "worker_lsot", "m" },
      ["errors_spec.lua:%d+: errors.new: unknown code nil"] = { nil, "m" },
      ["errors_spec.lua:%d+: errors.new: unknown code <table>"] = { {}, "m" },
      ["errors_spec.lua:%d+: errors.new: the message is a nil, not a string"] = { "timeout" },
      ["errors_spec.lua:%d+: errors.new: unknown field pid"] = { "timeout", "m", { pid = 1 } },
      ["errors_spec.lua:%d+: errors.new: retryable is a number, not a boolean"] =
        { "timeout", "m", { retryable = 1 } },
    }
    for pattern, arguments in pairs(mistakes) do
      local ok, why = pcall(function()
        errors.new(table.unpack(arguments, 1, 3))
      end)
      assert.is_false(ok)
      assert.equal("string", type(why))
      assert.truthy(why:find(pattern), why)
    end
  end)
end)

describe("errors.is", function()
  it("tells errors from everything else", function()
    assert.is_true(errors.is(errors.new("timeout", "late")))
    assert.is_true(errors.is(setmetatable({}, errors.metatable)))
    assert.is_false(errors.is({ code = "timeout", message = "late" }))
    assert.is_false(errors.is("timeout"))
    assert.is_false(errors.is(nil))
    assert.is_false(errors.is(setmetatable({}, { __metatable = "locked" })))
  end)
end)

describe("errors.raise", function()
  it("raises the error object itself", function()
    local ok, err = pcall(errors.raise, "overloaded", "queue is full", { process = "pool" })
    assert.is_false(ok)
    assert.is_true(errors.is(err))
    assert.equal("overloaded", err.code)
    assert.equal("queue is full", err.message)
    assert.equal("pool", err.process)
  end)
end)

describe("tostring of an error", function()
  local lost = 'worker "img-1" (pid 4711) was killed by SIGKILL in the middle of this call'

  it("is one line with code, message, process and method", function()
    assert.equal("worker_lost: " .. lost .. " (image-worker.resize)", tostring(errors.new(
      "worker_lost", lost, { process = "image-worker", method = "resize" })))
  end)

  it("leaves out what is not known", function()
    assert.equal("timeout: late", tostring(errors.new("timeout", "late")))
    assert.equal("timeout: late (a)", tostring(errors.new("timeout", "late", { process = "a" })))
    assert.equal("timeout: late (m)", tostring(errors.new("timeout", "late", { method = "m" })))
  end)

  it("puts the traceback, indented, on the following lines", function()
    local err = errors.new("remote_error", "oops", {
      process = "a", method = "m", traceback = "stack traceback:\n\tx.lua:1: in f\n",
    })
    assert.equal("remote_error: oops (a.m)\n  stack traceback:\n  \tx.lua:1: in f", tostring(err))
  end)

  it("keeps the first line whole when the message has several", function()
    local err = errors.new("spawn_failed", "exited with 3\nline one\nline two", { process = "a" })
    assert.equal("spawn_failed: exited with 3 (a)\n  line one\n  line two", tostring(err))
  end)

  it("makes control characters visible and leaves UTF-8 alone", function()
    assert.equal("remote_error: a\\x1B[31m\\x00b\\x0D\\x7Fé\tc",
      tostring(errors.new("remote_error", "a\27[31m\0b\r\127é\tc")))
  end)

  it("never raises, whatever the fields hold", function()
    local evil = setmetatable({}, {
      __tostring = function() error("no") end,
      __index = function() error("no") end,
      __concat = function() error("no") end,
      __name = 5,
    })
    local values = {
      evil, {}, print, true, 0 / 0, 1.5, coroutine.create(print), io.stdout, "%s %d", "",
    }
    for _, field in ipairs { "code", "message", "process", "method", "traceback", "details" } do
      for _, value in ipairs(values) do
        local err = setmetatable({ code = "timeout", message = "m" }, errors.metatable)
        err[field] = value
        assert.equal("string", type(tostring(err)))
      end
    end
    assert.equal("no code: no message", tostring(setmetatable({}, errors.metatable)))
    assert.equal("<table>: <function> (true.5)\n  <userdata>", tostring(setmetatable({
      code = evil, message = print, process = true, method = 5, traceback = io.stdout,
    }, errors.metatable)))
  end)
end)
