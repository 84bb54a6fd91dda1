local expect = require "support.expect"
local managed = require "support.managed"
local stderr = require "support.stderr"
local titan = require "titan"

-- A test that is a task, without a manager.
local function as_task(fn)
  return function()
    titan.run(fn)
  end
end

-- Something that notes when it goes out of scope, and why.
local function closing(note)
  return setmetatable({}, {
    __close = function(_, err)
      note.closed, note.err = true, err
    end,
  })
end

-- A task that never ends by itself, and the note of its end.
local function patient(wait)
  local note = {}
  return titan.go(function()
    local _ <close> = closing(note)
    wait()
  end), note
end

local function never()
  titan.sleep "1h"
end

describe("a task", function()
  it("runs at once, until it first waits", as_task(function()
    local log = {}
    local future = titan.go(function(...)
      log[#log + 1] = table.concat({ ... }, " ")
      titan.sleep(0)
      log[#log + 1] = "slept"
    end, "one", "two")
    log[#log + 1] = "returned"
    future:await()
    assert.same({ "one two", "returned", "slept" }, log)
  end))

  it("gives its results to each that awaits it", as_task(function()
    local future = titan.go(function()
      titan.sleep(1)
      return 1, nil, 3, nil
    end)
    local others = {}
    for i = 1, 3 do
      others[i] = titan.go(function()
        return table.pack(future:await())
      end)
    end
    for i = 1, 3 do
      assert.same({ 1, nil, 3, nil, n = 4 }, others[i]:await())
    end
    assert.same({ 1, nil, 3, nil, n = 4 }, table.pack(future:await()))
  end))

  it("has no results when it returns none", as_task(function()
    assert.equal(0, select("#", titan.go(function() end):await()))
  end))

  it("raises in await the very error it ended with", as_task(function()
    local problem = setmetatable({}, { __tostring = error })
    for _, err in ipairs { problem, "text", 42, false } do
      for _, waits in ipairs { true, false } do
        local future = titan.go(function()
          if waits then
            titan.sleep(0)
          end
          error(err, 0)
        end)
        for _ = 1, 2 do
          local ok, caught = pcall(future.await, future)
          assert.is_false(ok)
          assert.is_true(rawequal(err, caught))
        end
      end
    end
  end))

  it("may wait inside pcall, iterators and metamethods of Lua", as_task(function()
    local object = setmetatable({}, {
      __index = function(_, key)
        titan.sleep(0)
        return key
      end,
    })
    assert.equal("waited", object.waited)
    for value in function(_, last) titan.sleep(0) return not last and 1 or nil end do
      assert.equal(1, value)
    end
    local ok, err = pcall(function()
      titan.sleep(0)
      error("after", 0)
    end)
    assert.same({ false, "after" }, { ok, err })
  end))

  it("is a function", as_task(function()
    local err = expect.error("invalid_config", titan.go, "nonsense")
    assert.equal("titan.go: expected a function, given a string", err.message)
  end))

  it("is among ten thousand", as_task(function()
    local futures = {}
    for i = 1, 10000 do
      futures[i] = titan.go(function()
        titan.sleep(i % 3)
        return i
      end)
    end
    for i, result in ipairs(titan.all(futures)) do
      assert(result == i)
    end
  end))
end)

describe("an error that nobody awaits", function()
  local function lose(fn)
    return stderr(function()
      local err = expect.error("remote_error", titan.run, fn)
      assert.equal("an error in a task was never awaited (see stderr)", err.message)
    end)
  end

  it("is reported when the run ends, and fails it", function()
    local kept
    expect.part({ "titan: an error in a task that nobody awaited: ", "tasks_spec.lua:",
      ": it broke", "stack traceback:", "tasks_spec.lua:" }, lose(function()
      kept = titan.go(function()
        error "it broke"
      end)
    end))
    assert.is_true(kept:done())
  end)

  it("is reported when its future is collected", function()
    local said = stderr(function()
      pcall(titan.run, function()
        titan.go(error, "it broke")
        collectgarbage()
        collectgarbage()
        io.stderr:write "and then"
      end)
    end)
    expect.part({ "it broke", "and then" }, said)
  end)

  it("is reported once for each", function()
    local said = lose(function()
      titan.go(error, "first")
      titan.go(error, "second")
    end)
    assert.equal(2, select(2, said:gsub("nobody awaited", "")))
    expect.part("first", said)
    expect.part("second", said)
  end)

  it("may be one that cannot be shown", function()
    expect.part("an error object that cannot be shown", lose(function()
      titan.go(error, setmetatable({}, { __tostring = error }))
    end))
  end)

  it("does not hide the error of the run itself", function()
    local said = stderr(function()
      expect.complaint("the main one", titan.run, function()
        titan.go(error, "beside")
        error "the main one"
      end)
    end)
    expect.part("beside", said)
  end)

  it("does not fail the run after", function()
    lose(function()
      titan.go(error, "it broke")
    end)
    assert.equal(5, titan.run(function()
      return 5
    end))
  end)

  it("is no news when it was awaited, or the task cancelled", function()
    assert.equal("", stderr(function()
      titan.run(function()
        local future = titan.go(error, "it broke")
        pcall(future.await, future)
        titan.go(never):cancel()
      end)
      pcall(titan.run, function()
        titan.go(never)
        error "the end of all tasks"
      end)
    end))
  end)
end)

describe("future:cancel", function()
  it("ends a task where it waits", as_task(function()
    local awaited = titan.go(never)
    for what, wait in pairs {
      sleeping = never,
      awaiting = function()
        awaited:await()
      end,
      ["in titan.all"] = function()
        titan.all { awaited, titan.go(titan.sleep, 0) }
      end,
      ["in titan.race"] = function()
        titan.race { awaited }
      end,
      ["in titan.timeout"] = function()
        titan.timeout("1h", awaited.await, awaited)
      end,
    } do
      local future, note = patient(wait)
      assert.is_true(future:cancel(), what)
      local err = expect.error("cancelled", future.await, future)
      assert.equal("the task was cancelled", err.message)
      assert.is_false(err.retryable)
      assert.is_true(note.closed)
      assert.equal("cancelled", note.err.code)
      assert.is_true(future:done())
    end
    assert.is_false(awaited:done())
    awaited:cancel()
  end))

  it("takes the call back that it waits for", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    local future, note = patient(function()
      worker:pass()
    end)
    assert.equal(1, worker:count())
    assert.is_true(future:cancel())
    expect.error("cancelled", future.await, future)
    assert.is_true(note.closed)
    worker:count()
    assert.equal(0, worker:count())
    assert.equal(1, worker:count_given_up())
  end))

  it("is false the second time, and when there is nothing to end", as_task(function()
    local future = titan.go(never)
    assert.is_true(future:cancel())
    assert.is_false(future:cancel())
    expect.error("cancelled", future.await, future)
    assert.is_false(future:cancel())
    local done = titan.go(function()
      return 5
    end)
    assert.is_false(done:cancel())
    assert.equal(5, done:await())
  end))

  it("may be answered by the task", as_task(function()
    local future = titan.go(function()
      local ok, err = pcall(never)
      titan.sleep(0)
      return ok, err.code
    end)
    future:cancel()
    assert.same({ false, "cancelled" }, { future:await() })
  end))

  it("is not felt by those that await the task without being cancelled", as_task(function()
    local inner = titan.go(never)
    local outer = titan.go(function()
      return select(2, pcall(inner.await, inner)).code
    end)
    inner:cancel()
    assert.equal("cancelled", outer:await())
  end))

  it("comes first when what the task waits for has just ended", as_task(function()
    for what, wait in pairs {
      await = function(future) future:await() end,
      all = function(future) titan.all { future } end,
      race = function(future) titan.race { future } end,
    } do
      local inner = titan.go(function()
        titan.sleep(0)
        error "late"
      end)
      local outer, note
      local rival = titan.go(function()
        pcall(inner.await, inner)
        return outer:cancel()
      end)
      outer, note = patient(function()
        wait(inner)
      end)
      assert.is_true(rival:await(), what)
      expect.error("cancelled", outer.await, outer)
      assert.is_true(note.closed)
    end
  end))

  it("leaves the task alone that it only waited for", as_task(function()
    local inner = titan.go(function()
      titan.sleep(1)
      return "ended"
    end)
    titan.go(inner.await, inner):cancel()
    assert.equal("ended", inner:await())
  end))
end)
