local core = require "titan.core"
local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local STEADY <const> = "fault_workers.steady"

local function zygote_of(pm)
  return core.manager_zygote_pid(pm.handle)
end

local function pid_of(pm, worker)
  return pm:get_process_info(worker:__id()).pid
end

local function kill_zygote(pm)
  luv.kill(zygote_of(pm), "sigkill")
end

local function in_task(fn)
  return function()
    titan.run(fn)
  end
end

describe("the zygote", function()
  it("comes back when it is killed, and nobody else minds", managed(function(pm)
    pm:on("process:crash", function(report)
      error(tostring(report))
    end)
    local worker = pm:spawn(STEADY)
    local zygote, pid = zygote_of(pm), pid_of(pm, worker)
    local call = worker.async:await_signal "sigusr1"
    kill_zygote(pm)
    repeat until not proc.alive(zygote) -- and nobody has noticed yet
    local other = pm:spawn(STEADY)
    assert.not_equal(zygote, zygote_of(pm))
    assert.is_nil(proc.stat(zygote))
    assert.equal("new", other:echo "new")
    assert.equal("old", worker:echo "old")
    assert.equal(pid, pid_of(pm, worker))
    pm:kill(worker:__id(), "SIGUSR1")
    assert.equal("sigusr1", call:await())
    assert.is_true(pm:stop_all())
  end))

  it("comes back without being asked for anything", managed(function(pm)
    pm:spawn(STEADY)
    local zygote = zygote_of(pm)
    kill_zygote(pm)
    proc.await("another zygote", function()
      local now = zygote_of(pm)
      return now and now ~= zygote
    end)
  end))

  it("may die again and again under spawns, each of which ends with a worker", managed(function(pm)
    pm:spawn(STEADY)
    for round = 1, 8 do
      local spawns = round == 1 and 50 or 10 -- more than it is asked for at the same time, or less
      local starting = {}
      for i = 1, spawns do
        starting[i] = titan.go(function()
          local worker = pm:spawn(STEADY)
          assert.equal(i, worker:echo(i))
          return worker
        end)
      end
      proc.await("some of them", function()
        return starting[round % spawns + 1]:done()
      end)
      kill_zygote(pm)
      titan.all(starting)
      assert.equal(2 + spawns, #proc.children())
      for _, future in ipairs(starting) do
        assert.is_true(pm:stop_process(future:await():__id(), 0))
      end
      assert.equal(2, #proc.children())
    end
  end))

  it("does not keep the manager from closing when it is stopped", in_task(function()
    local pm = titan.manager { logs = { format = "none" } }
    pm:spawn(STEADY)
    local zygote = zygote_of(pm)
    luv.kill(zygote, "sigstop")
    proc.await_stopped(zygote)
    assert.is_true(pm:stop_all())
    pm:close()
    assert.same({}, proc.children())
  end))

  it("forks nothing that outlives a manager which closes meanwhile", in_task(function()
    for _, signal in ipairs { "sigstop", "sigcont" } do
      local pm = titan.manager { logs = { format = "none" } }
      pm:spawn(STEADY)
      local zygote = zygote_of(pm)
      luv.kill(zygote, signal)
      local starting = {}
      for i = 1, 20 do
        starting[i] = titan.go(expect.error, "destroyed", pm.spawn, pm, STEADY)
      end
      titan.sleep(0)
      pm:close()
      assert.same({}, proc.children())
      titan.all(starting)
    end
  end))

  it("that is stopped does not keep spawns from being stopped", managed(function(pm)
    pm:spawn(STEADY)
    local zygote = zygote_of(pm)
    luv.kill(zygote, "sigstop")
    proc.await_stopped(zygote)
    local starting = titan.go(pm.spawn, pm, STEADY, { name = "late" })
    titan.sleep(0)
    assert.is_true(pm:stop_process "late")
    expect.error("shutting_down", starting.await, starting)
    luv.kill(zygote, "sigcont")
    proc.await("the end of what came too late", function()
      return #proc.children() == 2
    end)
  end))

  it("that is stopped makes spawns time out", managed(function(pm)
    pm:spawn(STEADY)
    local zygote = zygote_of(pm)
    luv.kill(zygote, "sigstop")
    proc.await_stopped(zygote)
    local starting = {}
    for i = 1, 20 do -- more than are asked for at the same time
      starting[i] = titan.go(expect.error, "startup_timeout", pm.spawn, pm, STEADY,
        { startup_timeout = 100 })
    end
    titan.all(starting)
    luv.kill(zygote, "sigcont")
    assert.equal("again", pm:spawn(STEADY):echo "again")
    proc.await("the end of what came too late", function()
      return #proc.children() == 3
    end)
  end))

  it("that took the place of another still leaves nothing behind", in_task(function()
    local program = proc.script [[
      local titan = require "titan"
      local core = require "titan.core"
      local luv = require "luv"
      local pm = titan.manager { -- without a spare: `new` is the new zygote's, which serves then
        logs = { format = "none" }, advanced = { spare_worker = false },
      }
      local old = pm:spawn("fault_workers.steady", { name = "old" })
      local first, second = old:have_children()
      local killed = core.manager_zygote_pid(pm.handle)
      luv.kill(killed, "sigkill")
      local new = pm:spawn("fault_workers.steady", { name = "new" })
      local third, fourth = new:have_children()
      print("pids " .. table.concat({ killed, core.manager_zygote_pid(pm.handle),
        pm:get_process_info "old".pid, pm:get_process_info "new".pid,
        first, second, third, fourth }, " "))
      io.stdout:flush()
      titan.sleep "1h"
    ]]
    local pids = { proc.pids_in(program:await_output("stdout", "(pids [%d ]+)\n")) }
    assert.equal(8, #pids)
    assert.is_false(proc.alive(pids[1]))
    for i = 2, 8 do
      assert.is_true(proc.alive(pids[i]))
    end
    program:kill "sigkill"
    program:await()
    proc.await_gone(table.unpack(pids))
  end))
end)

describe("preload", function()
  local directory

  before_each(function()
    directory = proc.directory()
  end)

  after_each(function()
    proc.remove(directory)
  end)

  local function write(name, text)
    local file <close> = assert(io.open(directory .. "/" .. name, "w"))
    file:write(text)
  end

  local function with(preloaded, fn)
    return function()
      write("preloaded.lua", preloaded)
      titan.run(function()
        fn(titan.manager {
          logs = { format = "none" }, preload = { directory .. "/preloaded.lua" },
        })
      end)
    end
  end

  it("is loaded once, before the workers", with("loaded = (loaded or 0) + 1", function(pm)
    local worker = pm:spawn "fault_workers.globals"
    local other = pm:spawn "fault_workers.globals"
    assert.equal(1, worker:get "loaded")
    worker:set("loaded", 2)
    assert.equal(1, other:get "loaded")
  end))

  local FAILING <const> = {
    ["that calls os.exit(0)"] = { "os.exit(0)", "exited with code 0" },
    ["that calls os.exit(7)"] = { "os.exit(7)", "exited with code 7" },
    ["that is killed"] = { 'local luv = require "luv" luv.kill(luv.os_getpid(), "sigkill")',
      "killed by SIGKILL" },
    ["that raises"] = { 'error "not today"', "not today" },
    ["that raises a table"] = { "error {}", "table" },
    ["with a syntax error"] = { "local = 5", "preloaded.lua:1: <name> expected" },
    ["that starts a thread"] = { [[
      local luv = require "luv"
      luv.fs_stat("/", function() end)
    ]], "started a thread" },
  }
  for what, case in pairs(FAILING) do
    it(what .. " fails every spawn", with(case[1], function(pm)
      for _ = 1, 2 do
        local err = expect.error("spawn_failed", pm.spawn, pm, STEADY)
        expect.part(case[2], err.message)
      end
      assert.is_nil(zygote_of(pm))
      assert.same({}, proc.children())
    end))
  end

  -- The second zygote dies of the preload, the third knows the workers of the first.
  it("that fails once does not make the workers forgotten", in_task(function()
    write("preloaded.lua", [[
      local path = ... .. ".loaded"
      local file = io.open(path, "a+")
      local loads = #file:read "a"
      file:write "x"
      file:close()
      if loads == 1 then
        local luv = require "luv"
        luv.kill(luv.os_getpid(), "sigkill")
      end
    ]])
    local program = proc.script([[
      local titan = require "titan"
      local core = require "titan.core"
      local luv = require "luv"
      local pm = titan.manager { -- without a spare: every spawn needs a zygote
        logs = { format = "none" }, preload = { ... }, advanced = { spare_worker = false },
      }
      local old = pm:spawn("fault_workers.steady", { name = "old" })
      local first, second = old:have_children()
      luv.kill(core.manager_zygote_pid(pm.handle), "sigkill")
      local ok, err = pcall(pm.spawn, pm, "fault_workers.steady")
      assert(not ok and err.code == "spawn_failed", tostring(err))
      pm:spawn("fault_workers.steady"):echo()
      print("pids " .. table.concat({ pm:get_process_info "old".pid, first, second }, " "))
      io.stdout:flush()
      titan.sleep "1h"
    ]], { args = { directory .. "/preloaded.lua" } })
    local pids = { proc.pids_in(program:await_output("stdout", "(pids [%d ]+)\n")) }
    program:kill "sigkill"
    program:await()
    proc.await_gone(table.unpack(pids))
  end))

  it("that never ends makes spawns time out", with("while true do end", function(pm)
    local err = expect.error("startup_timeout", pm.spawn, pm, STEADY, { startup_timeout = 100 })
    expect.part("preloads", err.message)
  end))
end)
