local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local function streaming(fn)
  return managed(function(pm)
    fn(pm:spawn "workers.streaming", pm)
  end)
end

describe("a worker that dies while it streams", function()
  it("ends the stream after the items that came", streaming(function(worker, pm)
    local next = worker:hang(3)
    assert.same({ 1, 2, 3 }, { next(), next(), next() })
    local waiting = titan.go(next)
    pm:kill "streaming"
    local err = expect.error("worker_lost", waiting.await, waiting)
    expect.part("was killed by SIGKILL in the middle of this call", err.message)
    assert.equal("streaming", err.process)
    assert.equal("hang", err.method)
    expect.error("worker_lost", next)
  end))

  it("takes nothing back of what had come", streaming(function(worker, pm)
    local next = worker:blobs(1 << 16)
    assert.equal(1 << 16, #next())
    local next_crash = proc.listen(pm, "process:crash")
    proc.await("a window", function()
      return (worker:report()) >= 64
    end)
    pm:kill "streaming"
    next_crash()
    local n = 1
    expect.error("worker_lost", function()
      while next() do
        n = n + 1
      end
    end)
    assert.equal(64, n)
  end))

  it("ends two hundred", streaming(function(worker, pm)
    local futures = {}
    for i = 1, 200 do
      local next = worker:hang(1)
      assert.equal(1, next())
      futures[i] = titan.go(next)
    end
    pm:kill "streaming"
    for i = 1, 200 do
      expect.error("worker_lost", futures[i].await, futures[i])
    end
  end))

  it("is not asked again by its pool", managed(function(pm)
    local pool = pm:create_pool("workers.streaming", { size = 2 })
    local n = 0
    expect.error("worker_lost", function()
      for pid in pool:pid() do
        n = n + 1
        luv.kill(pid, "sigkill")
      end
    end)
    assert.equal(1, n)
    assert.equal(0, pool:metrics().retries)
    assert.equal(1, pool:metrics().errors)
    assert.equal(0, pool.active)
    pool:destroy(0)
  end))

  it("is lost for another service's loop, too", streaming(function(_, pm)
    local caller = pm:spawn("workers.streaming", { name = "caller" })
    local failure = caller.async:failure("streaming", "hang", false, 2)
    for _ = 1, 20 do
      caller:echo()
    end
    pm:kill "streaming"
    local _, code, message = failure:await()
    assert.equal("worker_lost", code)
    expect.part("was killed by SIGKILL", message)
  end))
end)

describe("a caller that dies while it takes a stream", function()
  it("ends it", streaming(function(worker, pm)
    local caller = pm:spawn("workers.streaming", { name = "caller" })
    local next = caller:through("streaming", "blobs", 1000)
    assert.equal(1000, #next())
    pm:kill "caller"
    assert.equal("cancelled", worker:await_closed(1))
    expect.error("worker_lost", function()
      while next() do
      end
    end)
  end))
end)

describe("a worker that is stopped while it streams", function()
  it("may finish", streaming(function(worker, pm)
    local n, stopping = 0, nil
    for i in worker:ticks(5, 6) do
      n = i
      stopping = stopping or titan.go(pm.stop_process, pm, "streaming")
    end
    assert.equal(6, n)
    assert.is_true(stopping:await())
  end))

  it("may finish even what waits for credit", streaming(function(worker, pm)
    local next, _, _, closing = worker:blobs(1 << 16)
    local _ <close> = closing
    next()
    local stopping = titan.go(pm.stop_process, pm, "streaming")
    for _ = 1, 300 do
      assert(#next() == 1 << 16)
    end
    assert.is_false(stopping:done());
    (function()
      local _ <close> = closing
    end)()
    assert.is_true(stopping:await())
  end))

  it("ends with its deadline", streaming(function(worker, pm)
    local next = worker:hang(1)
    assert.equal(1, next())
    local waiting = titan.go(next)
    pm:stop_process("streaming", 30)
    expect.error("worker_lost", waiting.await, waiting)
  end))
end)

-- MessagePack by hand: [4, 0, values] is an item of the first call.
local function frame(body)
  return string.pack("<I4", #body) .. body
end
local function item(values)
  return frame("\x93\x04\0" .. values)
end
local BEGIN <const> = item "\x90"
local NIL <const> = "\xc0"

describe("a worker that streams what it should not", function()
  local function refused(what, bytes, said)
    it(what .. " is killed", managed(function(pm)
      local other = pm:spawn("fault_workers.foul", { name = "other" })
      local worker = pm:spawn("fault_workers.foul", { name = "foul" })
      local err = expect.error("protocol_error", function()
        for _ in worker:write("data", bytes) do
          collectgarbage "step"
        end
      end)
      expect.part(said, err.message)
      assert.equal("fine", other:echo "fine")
      proc.await("its end", function()
        return not pm:discover "foul"
      end)
    end))
  end

  refused("an item before the beginning", item "\x91\5", "a stream that has not begun")
  refused("two beginnings", BEGIN .. BEGIN, "an item without values")
  refused("a stream of no call", frame "\x93\x04\7\x90", "a call that was not made")
  refused("an item that begins with nil", BEGIN .. item("\x92" .. NIL .. "\5"),
    "an item whose first value is nil")
  refused("an item without an end", BEGIN .. item "\x92\5", "truncated")
  refused("an item that is no list", BEGIN .. item "\5", "other than an array")
  refused("an empty item of another form", BEGIN .. item "\xdc\0\0", "whose first value is nil")
  refused("credit for what it did not ask", frame "\x93\5\0\1" .. frame "\x93\5\0\0",
    "a credit that is not a number of bytes")

  it("more than it has credit for is killed", managed(function(pm)
    local worker = pm:spawn("fault_workers.foul", { name = "foul" })
    local next_crash = proc.listen(pm, "process:crash")
    local whole = item("\x91\xdb\0\x40\0\0" .. ("x"):rep(4 << 20))
    local next = worker:write("data", BEGIN .. whole .. whole)
    assert.equal("protocol_error", next_crash().error.code)
    assert.equal(4 << 20, #next())
    local err = expect.error("protocol_error", next)
    expect.part("an item for which there is no credit", err.message)
  end))

  it("through another service does that one no harm", managed(function(pm)
    for name, bytes in pairs {
      ["cut"] = BEGIN .. item "\x92\5", ["nil"] = BEGIN .. item("\x91" .. NIL),
      ["number"] = BEGIN .. item "\5",
    } do
      local caller = pm:spawn("workers.streaming", { name = "caller-" .. name })
      pm:spawn("fault_workers.foul", { name = name })
      local n, code = caller:failure(name, "write", false, "data", bytes)
      assert.same({ 0, "protocol_error" }, { n, code })
      assert.equal("fine", caller:echo "fine")
    end
  end))

  it("in answer to its caller's credit is blamed", managed(function(pm)
    local worker = pm:spawn("fault_workers.foul", { name = "foul" })
    pm:spawn "workers.streaming"
    -- A request to another service whose stream stands still, and then credit nobody needs.
    local request = frame("\x95\0\x07\xa4hang\x91\0\x81\xa7service\xa9streaming")
    local err = expect.error("protocol_error", worker.write, worker, "data",
      request .. frame "\x93\5\7\1")
    expect.part("more credit than there were items", err.message)
  end))
end)
