--- advanced.spin_us: threads look for messages before they sleep.

local core = require "titan.core"
local luv = require "luv"
local managed = require "support.managed"
local titan = require "titan"

local WORKER <const> = "workers.spinning"
local ALONE <const> = luv.available_parallelism() == 1 -- then nobody spins

local function spinning(isolation, spin_us, fn)
  return managed({ isolation = isolation, advanced = { spin_us = spin_us, threads = 2 } }, fn)
end

describe("the spin", function()
  it("is off unless it is asked for", spinning("worker", nil, function(pm)
    assert.equal(0, core.spin_us())
    assert.equal(0, pm:spawn(WORKER):spin_us())
  end))

  it("is told to the manager's loop and to the workers'", spinning("worker", 300, function(pm)
    local expected = ALONE and 0 or 300
    assert.equal(expected, core.spin_us())
    assert.equal(expected, pm:spawn(WORKER):spin_us())
  end))

  it("is the last manager's", function()
    spinning("worker", 1000, function() end)()
    spinning("worker", 0, function(pm)
      assert.equal(0, core.spin_us())
      assert.equal(0, pm:spawn(WORKER):spin_us())
    end)()
  end)

  it("is no worker's that is a process", spinning("process", 300, function(pm)
    assert.equal(0, pm:spawn(WORKER):spin_us())
  end))

  for _, isolation in ipairs { "process", "worker", "thread" } do
    it("loses no message of isolation " .. isolation, spinning(isolation, 50, function(pm)
      local workers = { pm:spawn(WORKER), pm:spawn(WORKER) }
      for i = 1, 500 do -- what comes while somebody spins, sleeps or is about to sleep
        assert.equal(i + 1, workers[1 + i % 2]:add(i, 1))
        if i % 100 == 0 then
          titan.sleep(1)
        end
      end
      local pending = {}
      for i = 1, 300 do
        pending[i] = workers[1 + i % 2].async:add(i, 1)
      end
      for i, result in ipairs(titan.all(pending)) do
        assert.equal(i + 1, result)
      end
    end))
  end
end)
