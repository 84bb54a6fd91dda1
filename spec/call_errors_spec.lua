local expect = require "support.expect"
local managed = require "support.managed"

describe("an error in a method", function()
  ---@param fn fun(worker: table)
  local function with_failing(fn)
    return managed(function(pm)
      fn(pm:spawn "workers.failing")
    end)
  end

  it("that is a text is a remote_error, with the worker's traceback", with_failing(function(worker)
    local err = expect.error("remote_error", worker.with_text, worker)
    expect.part({ "workers/failing.lua:", ": it broke" }, err.message)
    expect.part({ "stack traceback:", "workers/failing.lua:", "in upvalue 'refuse'",
      "workers/failing.lua:" }, err.traceback)
    assert.equal("failing", err.process)
    assert.equal("with_text", err.method)
    assert.is_false(err.retryable)
    assert.is_nil(err.details)
    expect.part({ "remote_error: ", "it broke (failing.with_text)", "stack traceback:" },
      tostring(err))
    assert.equal("it broke", expect.error("remote_error", worker.with_bare_text, worker).message)
  end))

  it("keeps its traceback when the method had waited", with_failing(function(worker)
    local err = expect.error("remote_error", worker.after_waiting, worker)
    expect.part({ "workers/failing.lua:", "in upvalue 'refuse'" }, err.traceback)
  end))

  it("that is Lua's own is one, too", with_failing(function(worker)
    expect.part("attempt to index a nil value (global 'nothing')",
      expect.error("remote_error", worker.with_mistake, worker).message)
  end))

  it("that is a table travels in details", with_failing(function(worker)
    local err = expect.error("remote_error", worker.with_table, worker)
    assert.equal("the method raised a table (see details)", err.message)
    assert.same({ reason = "full", left = { 0, 1 } }, err.details)
    assert.truthy(err.traceback)
    err = expect.error("remote_error", worker.with_message, worker)
    assert.equal("the disk is full", err.message)
    assert.same({ message = "the disk is full", disk = 3 }, err.details)
  end))

  it("that is a table is not lost for what cannot travel in it", with_failing(function(worker)
    local err = expect.error("remote_error", worker.with_untravelling, worker)
    assert.equal("the disk is full", err.message)
    assert.is_nil(err.details)
  end))

  it("is shown by its own __tostring", with_failing(function(worker)
    local err = expect.error("remote_error", worker.with_object, worker)
    assert.equal("disk 3 is full", err.message)
    assert.same({ disk = 3 }, err.details)
  end))

  it("may have metamethods that raise", with_failing(function(worker)
    local err = expect.error("remote_error", worker.with_unshowable, worker)
    assert.equal("an error object whose __tostring raised", err.message)
    assert.same({ disk = 3 }, err.details)
    err = expect.error("remote_error", worker.with_unreadable, worker)
    assert.equal("the method raised a table (see details)", err.message)
    assert.same({ disk = 3 }, err.details)
    assert.is_true(worker:alive())
  end))

  it("may be any other value", with_failing(function(worker)
    assert.equal("the method raised a value: nil",
      expect.error("remote_error", worker.with_nothing, worker).message)
    assert.equal("the method raised a value: 42",
      expect.error("remote_error", worker.with_number, worker).message)
    expect.part("the method raised a value: function: ",
      expect.error("remote_error", worker.with_function, worker).message)
    assert.is_true(worker:alive())
  end))

  it("keeps its code when it is one of Titan's", with_failing(function(worker)
    local err = expect.error("rate_limited", worker.with_error, worker, "rate_limited")
    assert.equal("not now", err.message)
    assert.same({ left = 3 }, err.details)
    assert.equal("failing", err.process)
    assert.equal("with_error", err.method)
    assert.is_true(err.retryable)
    assert.truthy(err.traceback)
    assert.is_false(expect.error("rate_limited", worker.with_error, worker, "rate_limited", false)
      .retryable)
    assert.is_true(expect.error("unauthorized", worker.with_error, worker, "unauthorized", true)
      .retryable)
  end))

  it("keeps its code and message when its details cannot travel", with_failing(function(worker)
    for _, depth in ipairs { 63, 64, 65, 300 } do
      local err = expect.error("overloaded", worker.with_details, worker, depth)
      assert.equal("not now", err.message)
      assert.equal(depth < 64, err.details ~= nil)
    end
  end))

  it("fails that call alone", with_failing(function(worker)
    local beside = worker.async:alive()
    local failed = worker.async:with_text()
    local after = worker.async:alive()
    assert.is_true(beside:await())
    assert.is_true(after:await())
    expect.error("remote_error", failed.await, failed)
  end))
end)
