local expect = require "support.expect"
local luv = require "luv"
local once = require "support.once"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

-- Where the manager holds the claim, where the worker has it, and both with a file.
local SLOW <const> = { "slow", "slow_keyed", "slow_durable", "slow_durable_keyed" }

local function call(service, method, ...)
  return service.async[method](service.async, ...)
end

describe("a worker that is killed with an idempotent call", function()
  it("before it has read it: another one runs it", once({ size = 2, max_concurrency = 4 },
    function(pool, notes)
      for _, method in ipairs { "default", "keyed", "durable" } do
        local pids = {}
        for _, worker in ipairs(pool:metrics().workers) do
          pids[#pids + 1] = worker.pid
        end
        for _, pid in ipairs(pids) do
          luv.kill(pid, "sigstop")
          proc.await_stopped(pid)
        end
        local calls = {}
        for i = 1, 12 do -- the last ones wait in the queue of the pool
          calls[i] = call(pool, method, i // 12 == 0 and { id = method } or { id = "z" .. method })
        end
        titan.sleep(0)
        for _, pid in ipairs(pids) do
          once.kill(pid)
        end
        local first = { calls[1]:await() }
        for i = 2, 11 do
          assert.same(first, { calls[i]:await() })
        end
        assert.is_not_same(first, { calls[12]:await() })
      end
      local lines = select(2, proc.read(notes.path):gsub("\n", ""))
      assert.equal(6, lines)
    end))

  it("while it runs: another one runs it, and that is the answer", once({ size = 2 },
    function(pool, notes)
      for _, method in ipairs(SLOW) do
        local calls = {}
        for i = 1, 6 do
          calls[i] = call(pool, method, method)
        end
        local victim = notes:await(method, 1)
        once.kill(victim)
        local pid = notes:await(method, 2)
        notes:say "go"
        for i = 1, 6 do
          assert.equal(pid, select(2, calls[i]:await()))
        end
        assert.equal(pid, select(2, pool[method](pool, method)))
        assert.same({ victim, pid }, notes:pids(method))
        os.remove(notes.path .. ".go")
      end
    end))

  it("by what the method does itself: another one runs it", once({ size = 2 },
    function(pool, notes)
      for _, method in ipairs { "dies", "dies_keyed", "dies_durable", "dies_own" } do
        local answer, pid = pool[method](pool, method)
        assert.equal("answered", answer)
        assert.equal(pid, notes:pids(method)[2])
        assert.equal(2, notes:runs(method))
        os.remove(notes.path .. ".died")
      end
    end))

  it("after it has run and been remembered: that is the answer", once({ size = 2 },
    function(pool, notes)
      for _, method in ipairs { "dies_after", "dies_after_durable" } do
        local answer = { pool[method](pool, method) }
        assert.same({ 1, notes:pids(method)[1], method }, answer)
        assert.same(answer, { pool[method](pool, method) })
        assert.equal(1, notes:runs(method))
        os.remove(notes.path .. ".died")
      end
    end))

  it("that is of no pool: its caller is told, and the next one runs it", once.manager(
    function(notes, pm)
      local worker = pm:spawn("workers.once", once.options(notes))
      local next_restart = proc.listen(pm, "process:restart")
      for _, method in ipairs(SLOW) do
        notes:say "go"
        local answer = { worker[method](worker, "remembered by " .. method) }
        os.remove(notes.path .. ".go")
        local first = call(worker, method, method)
        once.kill(notes:await(method, 1))
        expect.error("worker_lost", first.await, first)
        next_restart()
        notes:say "go"
        assert.equal(worker:pid(), select(2, worker[method](worker, method)))
        assert.equal(2, notes:runs(method))
        assert.same(answer, { worker[method](worker, "remembered by " .. method) })
        os.remove(notes.path .. ".go")
      end
    end))

  it("for another worker: that one is told, and may ask again", once.manager(
    function(notes, pm)
      local pool = once.pool(pm, notes, { name = "shop" })
      local other = pm:spawn("workers.once", once.options(notes, { name = "other" }))
      for _, method in ipairs { "slow", "slow_durable" } do
        local first = call(other, "calls_service", "shop", method, "key", method)
        local victim = notes:await(method, 1)
        local second = call(pool:with { idempotency_key = "key" }, method, method)
        once.kill(victim)
        expect.error("worker_lost", first.await, first)
        notes:await(method, 2)
        notes:say "go"
        assert.same({ second:await() }, { other:calls_service("shop", method, "key", method) })
        assert.equal(2, notes:runs(method))
        os.remove(notes.path .. ".go")
      end
    end))
end)

describe("a pool whose workers are killed every 20 ms", function()
  it("gives one answer for one key", once({ size = 4, max_concurrency = 8 },
    function(pool)
      local METHODS <const> = { "default", "durable", "keyed", "durable_keyed" }
      local answers, over, given, kills = {}, false, 0, 0
      local function note(key, ...)
        local answer = table.concat({ ... }, " ", 1, 2)
        answers[key] = answers[key] or answer
        assert.equal(answers[key], answer, key)
        given = given + 1
      end
      local callers = {}
      for i = 1, 32 do
        callers[i] = titan.go(function()
          local turn = 0
          while not over do
            turn = turn + 1
            local method = METHODS[(i + turn) % #METHODS + 1]
            local id = turn + i // 8 -- what some ask for now, others have asked for or will
            local key = method .. id
            local ok, err = pcall(function()
              if turn % 3 == 0 then
                local keyed = pool:with { idempotency_key = tostring(id) }
                return note("given " .. key, keyed[method](keyed, { id = "g" .. key }))
              end
              note(key, pool[method](pool, { id = id }))
            end)
            if not ok then
              assert.equal("worker_lost", err.code, tostring(err)) -- one worker after the other
            end
          end
        end)
      end
      for _ = 1, 70 do
        titan.sleep(20)
        local victims = {}
        for _, worker in ipairs(pool:metrics().workers) do
          victims[#victims + 1] = worker.state == "up" and worker.pid or nil
        end
        local pid = #victims > 0 and victims[math.random(#victims)]
        kills = kills + (pid and luv.kill(pid, "sigkill") and 1 or 0)
      end
      over = true
      titan.all(callers)
      assert.is_true(kills > 5 and given > kills, kills .. " kills, answers: " .. given)
      for key, answer in pairs(answers) do
        local method, id = key:match "^(%a+_?%a*)(%d+)$"
        if method then
          assert.equal(answer, table.concat({ pool[method](pool, { id = math.tointeger(id) }) },
            " ", 1, 2))
        end
      end
    end))
end)

-- What it does comes after this: `say(...)` prints a line.
local PROGRAM <const> = [[
local titan = require "titan"
package.path = %q .. "/spec/?.lua;" .. package.path
local pm = titan.manager {
  logs = { format = "none" }, store = { kind = "sqlite", path = %q, busy_timeout = 50 },
}
local pool = pm:create_pool("workers.once", {
  size = 1, spawn_options = { options = { notes = %q } },
})
local function say(...)
  io.stdout:write(table.concat({ ... }, " "), "\n")
  io.stdout:flush()
end
say("pids", pool:pid())
local turn = 0
]]

-- A program with a manager of its own, whose answers are in a file.
local function start(notes, source, before)
  local script = string.format(PROGRAM, luv.cwd(), notes.directory .. "/own.db", notes.path)
    .. source
  if before then
    local directory = notes.directory
    local file <close> = assert(io.open(directory .. "/app.lua", "w"))
    file:write(script)
    return proc.start("/bin/sh", { "-c", before .. '; exec "$0" run "$1"', proc.titan,
      directory .. "/app.lua" })
  end
  return proc.script(script)
end

local CALLS <const> = [[
for _, method in ipairs { "durable", "durable_keyed" } do
  local n, pid = pool[method](pool, { id = "a" })
  say(method, n, pid)
end
]]

describe("a manager that is killed", function()
  it("has the answers that it has given when it comes back", once.manager(function(notes)
    local first = start(notes, CALLS .. "titan.sleep(60000)")
    local a, b = first:await_output("stdout", "durable (%d+ %d+)\ndurable_keyed (%d+ %d+)")
    first:kill "sigkill"
    first:await()
    local second = start(notes, CALLS .. "pm:stop_all(0)")
    assert.same({ a, b }, { second:await_output("stdout",
      "durable (%d+ %d+)\ndurable_keyed (%d+ %d+)") })
    assert.equal(0, second:await())
    assert.equal(2, select(2, proc.read(notes.path):gsub("\n", "")))
  end))

  it("while the method runs, runs it again when it comes back", once.manager(function(notes)
    local source = [[
      local calls = {
        pool.async:slow_durable "a", pool.async:slow_durable_keyed "b", pool.async:slow_durable "a",
      }
      local n, pid = calls[1]:await()
      say("answer", n, pid, (select(2, calls[2]:await())), (select(2, calls[3]:await())))
      pm:stop_all(0)
    ]]
    local first = start(notes, source)
    local worker = notes:await("a", 1)
    notes:await("b", 1)
    first:kill "sigkill"
    first:await()
    proc.await_gone(worker)
    local second = start(notes, source)
    local pid = notes:await("a", 2)
    notes:await("b", 2)
    notes:say "go"
    local _, a, b, c = second:await_output("stdout", "answer (%d+) (%d+) (%d+) (%d+)")
    assert.same({ tostring(pid), tostring(pid), tostring(pid) }, { a, b, c })
    assert.equal(0, second:await())
    assert.equal(2, notes:runs "a")
  end))
end)

describe("a file that cannot hold the answers", function()
  -- Each call says what came of it.
  local ASKS <const> = [[
    for _ = 1, 2 do
      for _, method in ipairs { "durable", "durable_keyed" } do
        local ok, err = pcall(pool[method], pool, { id = method, big = string.rep("x", BIG) })
        say(method, ok and "ok" or err.code)
      end
    end
    say "end"
    pm:stop_all(0)
  ]]

  local function outcomes(program)
    program:await_output("stdout", "end\n")
    local counts = {}
    for method, outcome in program:stdout():gmatch "(durable%S*) (%S+)\n" do
      local what = method .. " " .. outcome
      counts[what] = (counts[what] or 0) + 1
    end
    program:await()
    return counts
  end

  local function runs(notes)
    return select(2, (proc.read(notes.path) or ""):gsub("\n", ""))
  end

  it("because it is full: every call says so", once.manager(function(notes)
    local program = start(notes, "local BIG = 600000\n" .. ASKS, "ulimit -f 1024")
    assert.same({ ["durable limit_exceeded"] = 2, ["durable_keyed limit_exceeded"] = 2 },
      outcomes(program))
    assert.equal(4, runs(notes)) -- none was answered
  end))

  it("because it may not be written: nothing is run", once.manager(function(notes)
    if luv.getuid() == 0 then
      local directory = notes.directory .. "/own.db" -- not even root can write there
      assert(luv.fs_mkdir(directory, tonumber("755", 8)))
    else
      io.open(notes.directory .. "/own.db", "w"):close()
      assert(luv.fs_chmod(notes.directory .. "/own.db", tonumber("444", 8)))
    end
    local counts = outcomes(start(notes, "local BIG = 1\n" .. ASKS))
    assert.same({ ["durable invalid_config"] = 2, ["durable_keyed invalid_config"] = 2 }, counts)
    assert.equal(0, runs(notes))
    luv.fs_rmdir(notes.directory .. "/own.db")
  end))

  it("because another has it: nothing is run until it has let go", once.manager(function(notes)
    local holder = require("titan.store.file").open { path = notes.directory .. "/own.db" }
    local program = start(notes, [[
      local ok, err = pcall(pool.durable, pool, "x")
      say("first", ok and "ok" or err.code)
      local hurried = pool:with { timeout = 10 }
      ok, err = pcall(hurried.durable, hurried, "x")
      say("hurried", ok and "ok" or err.code)
      while not pcall(pool.durable, pool, "x") do
        say "again"
      end
      say("end", (pool:durable "x"))
      pm:stop_all(0)
    ]])
    assert.equal("overloaded", program:await_output("stdout", "first (%S+)\n"))
    assert.equal("timeout", program:await_output("stdout", "hurried (%S+)\n"))
    assert.equal(0, notes:runs "x")
    holder:close()
    assert.equal("1", program:await_output("stdout", "end (%d+)\n"))
    assert.equal(0, program:await())
    assert.equal(1, notes:runs "x")
  end))
end)
