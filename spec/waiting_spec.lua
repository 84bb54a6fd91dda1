local expect = require "support.expect"
local managed = require "support.managed"
local program = require "support.program"
local titan = require "titan"

describe("titan.sleep", function()
  it("takes a duration in every form", function()
    titan.run(function()
      for _, duration in ipairs { 0, 1, 0.5, "1ms", "0.5ms", "0s" } do
        assert.equal(0, select("#", titan.sleep(duration)))
      end
    end)
  end)

  it("lets the shorter sleep end first", function()
    local order = {}
    titan.run(function()
      for _, duration in ipairs { 30, "20ms", 10, 0 } do
        titan.go(function()
          titan.sleep(duration)
          order[#order + 1] = duration
        end)
      end
    end)
    assert.same({ 0, 10, "20ms", 30 }, order)
  end)

  local nonsense = { "soon", "10", "-1ms", -1, 0 / 0, 1 / 0, true, {}, "" }
  for i = 1, #nonsense + 1 do
    it("refuses " .. tostring(nonsense[i]):gsub(": .*", ""), function()
      titan.run(function()
        expect.part("titan.sleep: ", expect.error("invalid_config", titan.sleep, nonsense[i])
          .message)
      end)
    end)
  end
end)

describe("waiting outside of a task", function()
  local why = "titan: this function waits, so it must be called from a task: inside "
    .. "titan.run(function() ... end) or titan.go(function() ... end), not from a coroutine of "
    .. "your own or a callback"

  it("is refused where nothing runs", function()
    expect.complaint(why, titan.sleep, 1)
  end)

  it("is refused in a coroutine of one's own", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    local pending = titan.go(titan.sleep, "1h")
    for _, wait in ipairs {
      function() titan.sleep(1) end,
      function() worker:echo(1) end,
      function() pending:await() end,
      function() titan.all { pending } end,
      function() pm:spawn "workers.echo" end,
      function() pm:stop_process "echo" end,
      function() pm:stop_all() end,
    } do
      local ok, err = coroutine.resume(coroutine.create(wait))
      assert.is_false(ok)
      expect.part(why, err)
    end
    assert.equal(1, worker:echo(1))
    pending:cancel()
  end))

  it("is refused in a callback", managed(function(pm)
    local luv = require "luv"
    local worker, said = pm:spawn "workers.echo", nil
    local timer = luv.new_timer()
    timer:start(0, 0, function()
      timer:close()
      said = { pcall(worker.echo, worker, 1) }
    end)
    while not said do
      titan.sleep(1)
    end
    assert.is_false(said[1])
    expect.part(why, said[2])
    assert.equal(1, worker:echo(1))
  end))

  it("is refused where Lua cannot suspend", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    local inside = "titan: this function waits, and cannot inside a metamethod, a sort comparator, "
      .. "a gsub callback or another C function"
    expect.complaint(inside, table.sort, { 1, 2, 3 }, function(a, b)
      return worker:echo(a) < b
    end)
    expect.complaint(inside, string.gsub, "abc", ".", function(letter)
      return worker:echo(letter)
    end)
    assert.equal(1, worker:echo(1))
  end))

  it("is not needed for what is known already", function()
    local done
    titan.run(function()
      done = titan.go(function()
        return 5
      end)
    end)
    assert.equal(5, done:await())
    assert.same({ 5, n = 1 }, titan.all { done })
  end)
end)

describe("a coroutine that waits", function()
  it("is not resumed by hand", managed(function(pm)
    local worker, co = pm:spawn "workers.gate", nil
    local future = titan.go(function()
      co = coroutine.running()
      return worker:pass(5)
    end)
    local ok, err = coroutine.resume(co, "early")
    assert.is_true(ok, err) -- the error is the task's
    local caught = select(2, pcall(future.await, future))
    expect.part("this coroutine waits for an answer or a time; it must not be resumed by hand",
      caught)
    worker:open()
    assert.equal(1, worker:pass(1))
  end))
end)

describe("a callback of luv", function()
  local luv = require "luv"

  local function pause(ms)
    local co, timer = coroutine.running(), luv.new_timer()
    timer:start(ms, 0, function()
      timer:close()
      assert(coroutine.resume(co, "rested"))
    end)
    return coroutine.yield()
  end

  it("may resume a task of the manager's", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    assert.equal("rested", pause(1))
    assert.equal(1, worker:echo(1))
    titan.sleep(1)
    assert.equal("rested", pause(1))
    local futures = {}
    for i = 1, 20 do
      futures[i] = titan.go(function()
        local said = pause(i % 3)
        local got = worker:echo(i)
        titan.sleep(0)
        return said .. got .. pause(0)
      end)
    end
    for i, result in ipairs(titan.all(futures)) do
      assert.equal("rested" .. i .. "rested", result)
    end
  end))

  it("may resume a task that then fails", managed(function()
    local future = titan.go(function()
      pause(1)
      error "it broke"
    end)
    expect.complaint("it broke", future.await, future)
  end))

  it("may resume a method", managed(function(pm)
    pm:spawn "workers.echo"
    local worker, futures = pm:spawn "workers.loop", {}
    assert.equal("rested", worker:pause(1))
    assert.same({ "rested", "rested" }, { worker:pause_and_sleep(1) })
    assert.same({ "rested", "called", "rested" }, { worker:pause_and_call "echo" })
    expect.part(": it broke", expect.error("remote_error", worker.pause_and_fail, worker).message)
    for i = 1, 20 do
      futures[i] = worker.async:pause_and_sleep(i % 3)
    end
    for _, result in ipairs(titan.all(futures)) do
      assert.equal("rested", result)
    end
    assert.equal(0, pm:get_process_info("loop").activity.in_flight)
  end))

  it("that fails ends the program", function()
    local ended = program.run [[
      local luv = require "luv"
      local worker = pm:spawn "workers.echo"
      print(pm:get_process_info("echo").pid)
      luv.new_timer():start(1, 0, function()
        error "it broke"
      end)
      titan.sleep "1h"
    ]]
    assert.equal(1, ended.code)
    expect.part({ "titan: ", "in a callback: ", ": it broke", "stack traceback:" }, ended.stderr)
    assert.is_false(require("support.system").alive(ended.stdout:match "%d+"))
  end)

  it("that fails in a worker ends the worker", managed(function(pm)
    local worker = pm:spawn "workers.loop"
    local err = expect.error("worker_lost", worker.fail_in_callback, worker)
    expect.part("exited with code 1", err.message)
    expect.part({ "in a callback: ", ": nobody can catch this" },
      pm:get_process_info("w1").stderr_tail)
  end))
end)
