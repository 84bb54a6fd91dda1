local expect = require "support.expect"
local managed = require "support.managed"
local titan = require "titan"

local CLASS <const> = "workers.annotated_stream"

-- The items until the end, or until the error that comes back second.
local function items(iterator, state, control, closing)
  local all = {}
  local ok, err = pcall(function()
    for item in iterator, state, control, closing do
      all[#all + 1] = item
    end
  end)
  return all, not ok and err or nil
end

describe("a stream", function()
  it("has its arguments and each of its items validated", managed(function(pm)
    local worker = pm:spawn(CLASS)
    assert.same({ 1, 2, 3 }, items(worker:checked(3)))
    local got, err = items(worker:checked(5))
    assert.same({ 1, 2, 3 }, got)
    assert.equal("validation_failed", err.code)
    assert.equal("result: expected integer of at most 3, got 4 (the method returned it)",
      err.message)
    assert.equal('args[1]: expected integer, got "x"',
      expect.error("validation_failed", worker.checked, worker, "x").message)
  end))

  it("is the plain iterator inside its own class", managed(function(pm)
    assert.equal(15, pm:spawn(CLASS):here(5))
  end))

  it("holds its place in a bulkhead until it ends", managed(function(pm)
    local worker = pm:spawn(CLASS)
    do
      local next_item, _, _, closing = worker:alone(100, 1)
      local _closing <close> = closing
      assert.equal(1, next_item())
      expect.error("overloaded", worker.alone, worker, 1)
    end
    assert.same({ 1 }, items(worker:alone(1)))
  end))

  it("is counted once, when it ends", managed(function(pm)
    local worker = pm:spawn(CLASS)
    assert.same({ 1, 2 }, items(worker:counted(2)))
    assert.equal(1, worker:__metrics().counters.streams)
  end))

  it("fails in its breaker when it fails in the middle", managed(function(pm)
    local worker = pm:spawn(CLASS)
    local _, err = items(worker:broken())
    assert.equal("broken", err.message)
    expect.error("circuit_open", worker.broken, worker)
  end))

  it("lasts no longer than the method's timeout", managed(function(pm)
    local got, err = items(pm:spawn(CLASS):bounded(100, 5))
    assert.is_true(#got > 0 and #got < 100)
    assert.equal("timeout", err.code)
  end))

  it("has no deadline as a whole, since its caller's is for each item", managed(function(pm)
    local worker = pm:spawn(CLASS):with { timeout = "5s" }
    assert.same({}, (items(worker:left())))
    assert.same({ 1, 2, 3 }, items(worker:with({ timeout = 200 }):counted(3, 90)))
  end))

  it("cannot be cached, repeated or replaced", function()
    for _, name in ipairs { "cache", "idempotent", "retry" } do
      local err = expect.error("invalid_config", titan.process, {
        name = "c",
        methods = { m = { stream = true, [name] = name == "retry" and 3 or true, function() end } },
      })
      expect.part({ "c.methods.m: stream and " .. name .. " cannot be together" }, err.message)
    end
  end)
end)
