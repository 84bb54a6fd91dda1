local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local pooled = require "support.pooled"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local NEVER <const> = { enabled = false }

local function up(pool)
  local count = 0
  for _, worker in ipairs(pool:metrics().workers) do
    count = count + (worker.state == "up" and 1 or 0)
  end
  return count
end

local function await_up(pool, count)
  proc.await(count .. " workers up", function()
    return up(pool) == count
  end)
end

local function kill_one(pool)
  local workers = pool:metrics().workers
  local victim = workers[math.random(#workers)]
  if victim.pid then
    luv.kill(victim.pid, "sigkill")
  end
end

local function outcomes(futures)
  local counts = {}
  for i = 1, #futures do
    local ok, err = pcall(futures[i].await, futures[i])
    local code = ok and "ok" or err.code
    counts[code] = (counts[code] or 0) + 1
  end
  return counts
end

describe("a pool whose workers die", function()
  it("has them back, as the same processes", pooled({ size = 2 }, function(pool, pm)
    local next_restart = proc.listen(pm, "process:restart")
    local worker = pm:discover "pooled-1"
    local id = worker:__id()
    expect.error("worker_lost", worker.die, worker)
    local info = next_restart()
    assert.equal(id, info.id)
    assert.equal("pooled-1", info.name)
    await_up(pool, 2)
    assert.equal(1, worker:echo(1))
    assert.equal(2, pool.size)
  end))

  it("answers idempotent calls all the same, and ends each of the others once", pooled({
    size = 4, max_concurrency = 4 }, function(pool)
    local answered, lost, ended = 0, 0, 0
    local futures = {}
    for i = 1, 400 do
      futures[#futures + 1] = titan.go(function()
        if i % 2 == 0 then
          assert.equal(i, pool:work(i, 5))
          answered = answered + 1
          return
        end
        local ok, value = pcall(pool.risky, pool, i, 5)
        ended = ended + 1
        if ok then
          assert.equal(i, value)
        else
          assert.equal("worker_lost", value.code)
          lost = lost + 1
        end
      end)
    end
    local killer = titan.go(function()
      while answered + ended < 350 do
        kill_one(pool)
        titan.sleep(20)
      end
    end)
    titan.all(futures)
    killer:await()
    assert.equal(200, answered)
    assert.equal(200, ended)
    local metrics = pool:metrics()
    assert.equal(lost, metrics.errors)
    assert.equal(400, metrics.calls)
    assert.equal(0, metrics.in_flight)
    await_up(pool, 4)
  end))

  it("makes nobody pay for a call that kills whoever takes it", pooled({ size = 2 },
    function(pool)
      expect.error("worker_lost", pool.deadly_work, pool)
      assert.equal(4, pool:metrics().retries)
      await_up(pool, 2)
      assert.equal(1, pool:echo(1))
    end))

  it("keeps calls waiting while all are down, and serves them then", pooled({ size = 2 },
    function(pool)
      for _, worker in ipairs(pool:metrics().workers) do
        luv.kill(worker.pid, "sigkill")
      end
      local futures = {}
      for i = 1, 20 do
        futures[i] = pool.async:work(i, 1)
      end
      assert.same({ ok = 20 }, outcomes(futures))
    end))

  it("brings back one that leaves by itself, and one that was stopped", pooled({ size = 2 },
    function(pool, pm)
      expect.error("worker_lost", pool.leave, pool)
      await_up(pool, 2)
      pm:stop_process "pooled-1"
      await_up(pool, 2)
      assert.equal(2, pool.size)
      assert.equal(1, pool:echo(1))
    end))

  it("has failed when the last one is given up", pooled({
    size = 2, max_concurrency = 1 }, function(pool, pm)
    local next_failure = proc.listen(pm, "pool:failed")
    local next_scale = proc.listen(pm, "pool:scale")
    local deaths = { pool.async:die(), pool.async:die() }
    local waiting = { pool.async:echo(), pool.async:echo() }
    assert.same({ worker_lost = 2 }, outcomes(deaths))
    assert.same({ worker_lost = 2 }, outcomes(waiting))
    local failure = next_failure()
    assert.equal("pooled", failure.pool)
    expect.part("SIGKILL", failure.error.message)
    assert.equal("given up", next_scale().reason)
    expect.part("SIGKILL", expect.error("worker_lost", pool.echo, pool).message)
    assert.equal("failed", pool:metrics().state)
    expect.error("worker_lost", pool.scale, pool, 3)
    pool:destroy()
    expect.error("destroyed", pool.echo, pool)
  end, NEVER))

  it("goes on with one less when only one is given up", pooled({ size = 2 }, function(pool)
    expect.error("worker_lost", pool.die, pool)
    proc.await("one worker", function()
      return pool.size == 1
    end)
    assert.equal(1, pool:echo(1))
    pool:scale(2)
    assert.equal(2, pool.size)
  end, NEVER))
end)

describe("a pool that has lost a worker for good", function()
  it("tries another when the window of its policy is over", pooled({ size = 2 },
    function(pool, pm)
      local next_scale = proc.listen(pm, "pool:scale")
      pm:kill "pooled-1"
      local given_up, again = next_scale(), next_scale()
      assert.same({ 2, 1, "given up" }, { given_up.from, given_up.to, given_up.reason })
      assert.same({ 1, 2, "tried again" }, { again.from, again.to, again.reason })
      await_up(pool, 2)
      assert.equal(1, pool:echo(1))
    end, { max_restarts = 0, window = 100 }))

  it("does not when somebody has said how many there shall be", pooled({ size = 2 },
    function(pool, pm)
      local next_scale = proc.listen(pm, "pool:scale")
      pm:kill "pooled-1"
      assert.equal("given up", next_scale().reason)
      pool:scale(1)
      titan.sleep(1200) -- longer than the window, and than the pool waits between two looks
      assert.equal(1, pool.size)
    end, { max_restarts = 0, window = 50 }))
end)

describe("a pool that cannot start", function()
  it("says what its worker said, and leaves nothing behind", managed(function(pm)
    local err = expect.error("spawn_failed", pm.create_pool, pm, "fault_workers.stillborn",
      { size = 3 })
    assert.equal("spawn_failed", err.code)
    assert.is_nil(next(pm.pools))
    assert.is_nil(next(pm.services))
    assert.is_nil(next(pm.running))
  end))

  it("fails by its factory, too", managed(function(pm)
    local err = expect.error("invalid_config", pm.create_pool, pm, "workers.pooled", {
      size = 2, spawn_options_factory = function(index)
        return index == 2 and { cwt = "/" } or {}
      end })
    expect.part("pool.spawn_options_factory(2).cwt", err.message)
    err = expect.error("spawn_failed", pm.create_pool, pm, "workers.pooled", {
      size = 1, spawn_options_factory = function()
        error "no idea"
      end })
    expect.part("no idea", err.message)
    assert.is_nil(next(pm.services))
  end))

  it("is given up with the wait for it", managed(function(pm)
    local making = titan.go(pm.create_pool, pm, "workers.pooled",
      { size = 2, warmup = function()
        titan.sleep "1h"
      end })
    proc.await("a worker", function()
      return pm:discover "pooled-1"
    end)
    making:cancel()
    expect.error("cancelled", making.await, making)
    assert.is_nil(next(pm.pools))
    assert.is_nil(next(pm.services))
  end))

  it("lets scale say why there are no more", function()
    local directory = proc.directory()
    local path = directory .. "/broken"
    pooled({ size = 1, spawn_options = { options = { broken = path } } }, function(pool)
      assert(io.open(path, "w")):close()
      local err = expect.error("spawn_failed", pool.scale, pool, 2)
      expect.part("broken on purpose", err.message)
      assert.equal(1, pool.size)
      os.remove(path)
      pool:scale(2)
      assert.equal(2, pool.size)
    end, NEVER)()
    proc.remove(directory)
  end)
end)

describe("the circuit breaker of a pool", function()
  it("refuses calls after failures in a row, and lets one try later", pooled({
    size = 2, circuit_breaker = { failure_threshold = 3, timeout = 60 } }, function(pool)
    for _ = 1, 5 do
      expect.error("remote_error", pool.fail, pool) -- the worker is well
    end
    local quick = pool:with { timeout = 5 }
    for _ = 1, 3 do
      expect.error("timeout", quick.sleep, quick, "1h")
    end
    local err = expect.error("circuit_open", pool.echo, pool)
    expect.part("3 calls in a row failed", err.message)
    assert.equal("open", pool:metrics().circuit)
    assert.equal(1, pool:metrics().rejected)
    proc.await("half open", function()
      return pool:metrics().circuit == "half_open"
    end)
    local probe = pool.async:sleep(20)
    expect.error("circuit_open", pool.echo, pool)
    probe:await()
    assert.equal(1, pool:echo(1))
    assert.equal("closed", pool:metrics().circuit)
  end))

  it("counts lost workers", pooled({
    size = 2, circuit_breaker = { failure_threshold = 2, timeout = "1h" } }, function(pool)
    expect.error("worker_lost", pool.die, pool)
    expect.error("worker_lost", pool.die, pool)
    expect.error("circuit_open", pool.echo, pool)
  end))
end)

describe("everything at once", function()
  it("strands no call", pooled({ size = 3, max_concurrency = 2, recycle_after = 40 },
    function(pool)
      local busy, bad = true, {}
      local ended = 0
      local callers = {}
      for i = 1, 20 do
        callers[i] = titan.go(function()
          while busy do
            local ok, err = pcall(pool.work, pool, i, 1)
            ended = ended + 1
            if not ok or err ~= i then
              bad[#bad + 1] = tostring(err)
            end
          end
        end)
      end
      for round = 1, 3 do
        local reload = titan.go(pool.reload, pool)
        kill_one(pool)
        pool:scale(2 + round % 3)
        kill_one(pool)
        pcall(reload.await, reload)
      end
      busy = false
      titan.all(callers)
      assert.same({}, bad)
      assert.is_true(ended > 20)
      assert.equal(0, pool.pending)
      assert.equal(0, pool:metrics().in_flight)
      assert.equal(2, pool.size)
    end))
end)
