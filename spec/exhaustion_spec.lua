local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local DEADLY <const> = "fault_workers.deadly"

local function in_task(fn)
  return function()
    titan.run(fn)
  end
end

-- Runs a script under a limit of the shell; the script's `print` says what happened.
local function under(limit, script, options)
  local directory = proc.directory { ["app.lua"] = script }
  local program = proc.start("bash", {
    "-c", limit .. ' && exec "$0" "$@"', proc.titan, "run", directory .. "/app.lua",
  }, options)
  local code = program:await()
  proc.remove(directory)
  assert.equal("", program:stderr())
  assert.equal(0, code)
  return program:stdout()
end

-- Spawns until that is refused; the others have to go on, and room made is room.
local FILL <const> = [[
  local titan = require "titan"
  local pm = titan.manager { logs = { format = "none" } }
  local workers, err = {}, nil
  repeat
    local ok, result = pcall(pm.spawn, pm, "fault_workers.deadly")
    if ok then
      workers[#workers + 1] = result
    else
      err = result
    end
  until err
  assert(#workers > 0, tostring(err))
  print(err.code, err.message)
  for i, worker in ipairs(workers) do
    assert(worker:echo(i) == i)
  end
  assert(pm:stop_process(workers[1]:__id(), 0))
  local another = pm:spawn "fault_workers.deadly"
  assert(another:echo "works" == "works")
  assert(not pcall(pm.spawn, pm, "fault_workers.deadly"))
  assert(workers[2]:echo "works" == "works")
]]

describe("a manager without", function()
  it("descriptors refuses to spawn and goes on with the workers it has", in_task(function()
    for limit = 40, 45 do
      local said = under("ulimit -n " .. limit, FILL)
      expect.part({ "limit_exceeded", "Too many open files", "ulimit -n" }, said)
    end
  end))

  it("processes refuses to spawn and goes on with the workers it has", in_task(function()
    local nobody <const> = 65534
    local probe = proc.start("test", { "-x", proc.titan }, { uid = nobody })
    if luv.getuid() ~= 0 or probe:await() ~= 0 then
      pending "only root can become another user, whom the limit holds for"
    end
    local said = under("ulimit -u 6", FILL, { uid = nobody })
    expect.part({ "limit_exceeded", "ulimit -u" }, said)
  end))
end)

it("a program started with SIGCHLD ignored learns how its workers ended", in_task(function()
  local said = under("trap '' CHLD", [[
    local pm = require "titan".manager { logs = { format = "none" } }
    local worker = pm:spawn "fault_workers.deadly"
    print(select(2, pcall(worker.die, worker, "exit_3")).message)
  ]])
  assert.equal("the worker exited with code 3 in the middle of this call\n", said)
end))

describe("after many spawns there is nothing more than before", function()
  local function census()
    return { fds = proc.fds(), children = #proc.children() }
  end

  -- What is there before the first spawn: the manager's own, and one worker's.
  local function check(pm, fn)
    pm:stop_process(pm:spawn(DEADLY):__id(), 0)
    local before = census()
    fn()
    assert.same(before, census())
    assert.equal(1, before.children) -- the zygote
  end

  it("one after another, in four tasks", managed({ preload = { DEADLY } }, function(pm)
    check(pm, function()
      local lanes = {}
      for lane = 1, 4 do
        lanes[lane] = titan.go(function()
          for i = 1, 120 do
            local worker = pm:spawn(DEADLY)
            assert.equal(i, worker:echo(i))
            assert.is_true(pm:stop_process(worker:__id(), 0))
          end
        end)
      end
      titan.all(lanes)
    end)
  end))

  it("two hundred at the same time", managed({ preload = { DEADLY } }, function(pm)
    check(pm, function()
      local starting = {}
      for i = 1, 200 do
        starting[i] = titan.go(pm.spawn, pm, DEADLY)
      end
      for i, worker in ipairs(titan.all(starting)) do
        assert.equal(i, worker:echo(i))
      end
      assert.equal(201, #proc.children())
      assert.is_true(pm:stop_all(0))
    end)
  end))

  it("that failed", managed(function(pm)
    check(pm, function()
      local starting = {}
      for i = 1, 50 do
        starting[i] = titan.go(expect.error, "spawn_failed", pm.spawn, pm,
          "fault_workers.stillborn")
      end
      titan.all(starting)
    end)
  end))

  it("that ended by a crash", managed(function(pm)
    check(pm, function()
      local ending = {}
      for i = 1, 50 do
        local worker = pm:spawn(DEADLY)
        ending[i] = titan.go(expect.error, "worker_lost", worker.die, worker, "exit_3")
      end
      titan.all(ending)
    end)
  end))
end)
