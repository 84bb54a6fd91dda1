local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local restarts = require "support.restarts"

proc.forget_leaks()

local PHOENIX <const> = "fault_workers.phoenix"

-- A test with a manager that restarts soon, or by another policy.
local function restarting(policy, fn)
  if not fn then
    policy, fn = restarts.soon(), policy
  end
  return managed({ restart_policy = policy }, fn)
end

describe("a restart policy", function()
  local directory

  before_each(function()
    directory = proc.directory {
      ["brief.lua"] = [[
        local titan = require "titan"
        return titan.process { name = "brief", restart_policy = { max_restarts = 1 },
          methods = { echo = { public = true, function(_, ...) return ... end } } }
      ]],
    }
  end)

  after_each(function()
    proc.remove(directory)
  end)

  -- Crashes until it is given up.
  local function restarts_of(pm, worker)
    local id = worker:__id()
    while true do
      local before = pm:get_process_info(id)
      pm:kill(id)
      local info = proc.await("what follows", function()
        local info = pm:get_process_info(id)
        return (info.restart_count > before.restart_count and info.status == "running"
          or info.last_error and info.last_error.message:find "given up") and info
      end)
      if info.status ~= "running" then
        return info.restart_count
      end
    end
  end

  it("of the class goes over that of the config, key by key", restarting(restarts.soon {
    max_restarts = 3,
  }, function(pm)
    assert.equal(3, restarts_of(pm, pm:spawn(PHOENIX)))
    assert.equal(1, restarts_of(pm, pm:spawn(directory .. "/brief.lua")))
  end))

  it("of a class that is given as such counts as well", restarting(function(pm)
    local class = dofile(directory .. "/brief.lua")
    assert.equal(1, restarts_of(pm, pm:spawn(class)))
  end))

  it("of the spawn goes over both, key by key", restarting(restarts.late {
    max_restarts = 5,
  }, function(pm)
    local worker = pm:spawn(directory .. "/brief.lua", { restart_policy = { delay = 0 } })
    assert.equal(1, restarts_of(pm, worker))
    worker = pm:spawn(directory .. "/brief.lua", { restart_policy = { delay = 0,
      max_restarts = 2, backoff = { initial = 1 } } })
    assert.equal(2, restarts_of(pm, worker))
    worker = pm:spawn(directory .. "/brief.lua", { restart_policy = { max_restarts = 2 } })
    pm:kill(worker:__id())
    restarts.await_status(pm, worker:__id(), "crashed")
    expect.part("to be started again", expect.error("worker_lost", worker.echo, worker).message)
  end))

  it("of the spawn turns restarts on and off", function()
    restarting(restarts.soon { enabled = false }, function(pm)
      local on = pm:spawn(PHOENIX, { name = "on", restart_policy = { enabled = true } })
      restarts.crash(pm, "on")
      assert.equal("alive", on:echo "alive")
    end)()
    restarting(function(pm)
      local off = pm:spawn(PHOENIX, { name = "off", restart_policy = { enabled = false } })
      pm:kill "off"
      restarts.await_status(pm, off:__id(), "crashed")
      expect.part("is gone", expect.error("worker_lost", off.echo, off).message)
    end)()
  end)

  it("is checked", restarting(function(pm)
    local err = expect.error("invalid_config", pm.spawn, pm, PHOENIX,
      { restart_policy = { max_restart = 1 } })
    expect.part({ "options.restart_policy.max_restart", "max_restarts" }, err.message)
    err = expect.error("invalid_config", pm.spawn, pm, PHOENIX,
      { restart_policy = { backoff = { factor = 0.5 } } })
    expect.part("options.restart_policy.backoff.factor", err.message)
  end))
end)
