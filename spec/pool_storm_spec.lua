--- A pool under fire: one of its workers is killed every 20 ms, for 20 s, under 64 callers.

local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local SECONDS <const> = math.tointeger(os.getenv "TITAN_STORM_SECONDS" or 20)
local EVERY_MS <const> = 20
local CALLERS <const> = 64

---@param pool table
---@return integer? pid of one that is up
local function a_victim(pool)
  local workers = {}
  for _, worker in ipairs(pool:metrics().workers) do
    workers[#workers + 1] = worker.state == "up" and worker or nil
  end
  return #workers > 0 and workers[math.random(#workers)].pid or nil
end

-- Until the storm is over; a caller with an odd number calls a method that may be called twice.
---@param storm { over: boolean?, lost: integer, answered: integer }
local function call(storm, pool, number)
  local method = number % 2 == 1 and "work" or "risky"
  local turn = 0
  while not storm.over do
    turn = turn + 1
    local value = number * 1000000 + turn
    local ok, answer = pcall(pool[method], pool, value, turn % 10)
    if ok then
      assert.equal(value, answer)
      storm.answered = storm.answered + 1
    else
      assert.equal("risky", method, tostring(answer))
      assert.equal("worker_lost", answer.code, tostring(answer))
      storm.lost = storm.lost + 1
    end
  end
end

describe("a pool with a worker killed every 20 ms under 64 callers", function()
  it("ends every call once, answers all that may be called twice, and leaves nothing", managed({
    restart_policy = { delay = 0, max_restarts = 1000000, backoff = { initial = 0 } },
  }, function(pm)
    local before = { fds = proc.fds(), children = #proc.children() }
    local pool = pm:create_pool("workers.pooled", { size = 4 })
    local storm, callers, kills = { answered = 0, lost = 0 }, {}, 0
    for number = 1, CALLERS do
      callers[number] = titan.go(call, storm, pool, number)
    end
    collectgarbage()
    local heap = collectgarbage "count"
    for _ = 1, SECONDS * 1000 // EVERY_MS do
      titan.sleep(EVERY_MS)
      local pid = a_victim(pool)
      if pid and luv.kill(pid, "sigkill") then
        kills = kills + 1
      end
    end
    storm.over = true
    titan.all(callers)
    assert.is_true(storm.answered > kills)
    assert.is_true(kills > SECONDS) -- the pool came back between them
    local metrics = pool:metrics()
    assert.equal(storm.answered + storm.lost, metrics.calls)
    assert.equal(storm.lost, metrics.errors)
    assert.same({ 0, 0 }, { metrics.in_flight, pool.pending })
    assert.is_true(pool:destroy())
    collectgarbage()
    collectgarbage()
    assert.is_true(collectgarbage "count" < heap + 1024, "the heap has grown")
    assert.equal(before.children, #proc.children())
    assert.equal(before.fds, proc.fds())
  end))
end)
