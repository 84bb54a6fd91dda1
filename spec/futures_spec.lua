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

local function never()
  titan.sleep "1h"
end

describe("titan.all", function()
  it("gives the first results in the order of the list", as_task(function()
    local results = titan.all {
      titan.go(function() titan.sleep(2) return "a", "more" end),
      titan.go(function() end),
      titan.go(function() return "c" end),
      titan.go(function() titan.sleep(1) return nil end),
    }
    assert.same({ "a", nil, "c", nil, n = 4 }, results)
    assert.same({ n = 0 }, titan.all {})
  end))

  it("raises the first error as soon as there is one", as_task(function()
    local slow, problem = titan.go(never), {}
    local ok, err = pcall(titan.all, {
      slow,
      titan.go(function() titan.sleep(100) error "the second" end),
      titan.go(function() titan.sleep(1) error(problem) end),
    })
    assert.is_false(ok)
    assert.equal(problem, err)
    assert.is_false(slow:done())
    slow:cancel()
  end))

  it("takes the same future twice", as_task(function()
    local future = titan.go(function() titan.sleep(0) return 1 end)
    assert.same({ 1, 1, n = 2 }, titan.all { future, future })
  end))
end)

describe("titan.race", function()
  it("gives all results of the first that ends", as_task(function()
    local slow = titan.go(never)
    assert.same({ 1, nil, 3, n = 3 }, table.pack(titan.race {
      slow, titan.go(function() titan.sleep(0) return 1, nil, 3 end),
    }))
    assert.is_false(slow:done())
    slow:cancel()
    assert.equal("there", titan.race {
      titan.go(function() return "there" end), titan.go(function() return "too" end),
    })
  end))

  it("raises the error of the first that ends", as_task(function()
    local slow, problem = titan.go(never), {}
    local ok, err = pcall(titan.race, { slow, titan.go(error, problem) })
    assert.is_false(ok)
    assert.equal(problem, err)
    slow:cancel()
  end))

  it("makes the errors of the others no news", function()
    assert.equal("", stderr(function()
      titan.run(function()
        titan.race {
          titan.go(function() return 1 end), titan.go(error, "too late"),
          titan.go(function() titan.sleep(1) error "much too late" end),
        }
      end)
    end))
  end)

  it("is never run by nobody", as_task(function()
    local err = expect.error("invalid_config", titan.race, {})
    assert.equal("titan.race: a race of nobody never ends", err.message)
  end))
end)

describe("a future that lives for long", function()
  it("does not collect those who no longer wait for it", as_task(function()
    local long = titan.go(never)
    local function wait_often()
      for _ = 1, 2000 do
        titan.race { long, titan.go(titan.sleep, 0) }
        pcall(titan.all, { long, titan.go(error, "enough") })
        titan.go(long.await, long):cancel()
      end
      titan.sleep(1)
      collectgarbage()
      return collectgarbage "count"
    end
    local before = wait_often()
    assert.is_true(wait_often() < before + 50)
    long:cancel()
  end))
end)

for _, name in ipairs { "all", "race" } do
  it("titan." .. name .. " refuses what are no futures", as_task(function()
    local why = "titan." .. name
    assert.equal(why .. ": expected a list of futures, given a number",
      expect.error("invalid_config", titan[name], 5).message)
    assert.equal(why .. "[2]: expected a future, given a function",
      expect.error("invalid_config", titan[name], { titan.go(print), print }).message)
    assert.equal(why .. ": expected a list of futures, given a future",
      expect.error("invalid_config", titan[name], titan.go(type, 1)).message)
  end))
end

describe("titan.timeout", function()
  it("gives what the function returns, or raises, in time", as_task(function()
    assert.same({ 5, nil, n = 2 }, table.pack(titan.timeout("1h", function(a)
      titan.sleep(0)
      return a, nil
    end, 5)))
    local problem = {}
    local ok, err = pcall(titan.timeout, "1h", function()
      titan.sleep(0)
      error(problem)
    end)
    assert.is_false(ok)
    assert.equal(problem, err)
  end))

  it("cancels the function when the time is over", as_task(function()
    local why
    local err = expect.error("timeout", titan.timeout, "10ms", function()
      local _ <close> = setmetatable({}, {
        __close = function(_, err)
          why = err.code
        end,
      })
      never()
    end)
    assert.equal("not done within 10 ms (titan.timeout)", err.message)
    assert.is_true(err.retryable)
    titan.sleep(1) -- the cancelled task goes on at the end of this turn
    assert.equal("cancelled", why)
  end))

  it("takes the call back that the function waits for", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    expect.error("timeout", titan.timeout, "50ms", worker.pass, worker)
    worker:count()
    assert.equal(0, worker:count())
  end))

  it("refuses what is no duration", as_task(function()
    expect.part("titan.timeout: ", expect.error("invalid_config", titan.timeout, "soon", print)
      .message)
    expect.part("titan.timeout: ", expect.error("invalid_config", titan.timeout, nil, print)
      .message)
  end))
end)
