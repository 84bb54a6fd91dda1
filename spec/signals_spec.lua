local expect = require "support.expect"
local luv = require "luv"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

-- Two workers, one of them in the middle of a call, which in the mode "spin" never waits; the other
-- has children.
local APP <const> = [[
  local titan = require "titan"
  local core = require "titan.core"
  local directory, mode = ...
  local pm = titan.manager { logs = { format = "none" } }
  local function spawn(name)
    return pm:spawn("fault_workers.steady", { name = name,
      options = { journal = directory .. "/journal", stop = mode } })
  end
  local parent, busy = spawn "parent", spawn "busy"
  local pids = { core.manager_zygote_pid(pm.handle), parent:have_children() }
  for _, info in ipairs(pm:get_all_processes()) do
    pids[#pids + 1] = info.pid
  end
  local call = mode == "spin" and busy.async:spin() or busy.async:wait_for(directory .. "/go")
  print("pids " .. table.concat(pids, " "))
  io.stdout:flush()
  print("answered " .. call:await())
  titan.sleep "1h"
]]

describe("a program", function()
  local directory, program, pids

  before_each(function()
    directory = proc.directory()
  end)

  after_each(function()
    if program then
      program:kill "sigkill"
    end
    proc.remove(directory)
  end)

  local function start(mode, options)
    options = options or {}
    options.args = { directory, mode }
    program = proc.script(APP, options)
    pids = { proc.pids_in(program:await_output("stdout", "(pids [%d ]+)\n")) }
    assert.equal(5, #pids)
    for _, pid in ipairs(pids) do
      assert.is_true(proc.alive(pid))
    end
  end

  local function in_task(fn)
    return function()
      titan.run(fn)
    end
  end

  local function await_journal(count)
    return proc.await("the hooks", function()
      local journal = proc.read(directory .. "/journal") or ""
      local _, lines = journal:gsub("\n", "")
      return lines >= count and journal
    end)
  end

  for _, signal in ipairs { "sigterm", "sigint" } do
    it("that gets " .. signal .. " stops everything in order", in_task(function()
      start()
      program:kill(signal)
      local journal = await_journal(4)
      for _, name in ipairs { "parent", "busy" } do
        expect.part({ name .. " says goodbye", name .. " closes the door" }, journal)
      end
      assert.is_nil(program.exit)
      io.open(directory .. "/go", "w"):close()
      assert.equal(0, program:await())
      assert.equal("", program:stderr())
      expect.part("answered done", program:stdout())
      proc.await_gone(table.unpack(pids))
    end))

    it("that gets a second " .. signal .. " ends at once", in_task(function()
      start "wait"
      program:kill(signal)
      await_journal(2)
      titan.sleep(50) -- two signals at the same time are taken for one
      program:kill(signal)
      assert.equal(1, program:await())
      assert.equal("titan: second signal, workers killed\n", program:stderr())
      proc.await_gone(table.unpack(pids))
    end))
  end

  it("whose terminal sends SIGINT is the only one to get it", in_task(function()
    start(nil, { detached = true })
    luv.kill(-program.pid, "sigint")
    local journal = await_journal(4)
    expect.part("parent closes the door", journal)
    expect.part("busy closes the door", journal)
    io.open(directory .. "/go", "w"):close()
    assert.equal(0, program:await())
  end))

  it("that is killed takes everything along", in_task(function()
    start "spin"
    program:kill "sigkill"
    assert.equal(128 + 9, program:await())
    proc.await_gone(table.unpack(pids))
    assert.is_nil(proc.read(directory .. "/journal"))
  end))

  -- Nobody is left then who knows the workers' children.
  it("that is killed together with its zygote takes its workers along", in_task(function()
    start "spin"
    luv.kill(pids[1], "sigkill")
    program:kill "sigkill"
    program:await()
    local zygote, first, second = table.unpack(pids)
    proc.await_gone(zygote, table.unpack(pids, 4))
    for _, orphan in ipairs { first, second } do
      if proc.alive(orphan) then
        luv.kill(orphan, "sigkill")
      end
    end
  end))

  it("whose main task raises leaves nothing behind", in_task(function()
    program = proc.script [[
      local titan = require "titan"
      local pm = titan.manager { logs = { format = "none" } }
      local worker = pm:spawn("fault_workers.steady", { name = "worker" })
      local pids = { pm:get_process_info("worker").pid, worker:have_children() }
      print("pids " .. table.concat(pids, " "))
      local function deep()
        error "on purpose"
      end
      deep()
    ]]
    assert.equal(1, program:await())
    expect.part({ "app.lua:7: on purpose", "stack traceback:", "in local 'deep'" },
      program:stderr())
    proc.await_gone(proc.pids_in(program:stdout()))
  end))

  it("that exits in the middle of everything leaves nothing behind", in_task(function()
    program = proc.script((APP:gsub('print%("answered.*$', "os.exit(3)\n")),
      { args = { directory } })
    assert.equal(3, program:await())
    proc.await_gone(proc.pids_in(program:stdout()))
    assert.is_nil(proc.read(directory .. "/journal"))
  end))

  it("that handles no signals ends by them, and leaves nothing behind", in_task(function()
    program = proc.script((APP:gsub("logs =", "advanced = { handle_signals = false }, %0")),
      { args = { directory } })
    local text = program:await_output("stdout", "(pids [%d ]+)\n")
    program:kill "sigterm"
    assert.equal(128 + 15, program:await())
    proc.await_gone(proc.pids_in(text))
    assert.is_nil(proc.read(directory .. "/journal"))
  end))

  it("that gets a signal while it spawns stops in order", in_task(function()
    program = proc.script([[
      local journal = ... .. "/journal"
      local pm = require "titan".manager { logs = { format = "none" } }
      pm:spawn("fault_workers.steady", { options = { journal = journal, start = "wait" } })
    ]], { args = { directory } })
    await_journal(1)
    program:kill "sigterm"
    assert.equal(0, program:await())
    assert.equal("", program:stderr())
  end))

  -- Each is killed a little later in its spawns than the one before. Whoever is left is found by
  -- a variable in the environment, which every descendant has.
  it("that is killed while it spawns leaves nothing behind", in_task(function()
    local mark = "TITAN_SPEC_MARK=" .. luv.hrtime()
    local function marked(stat)
      local environment = proc.read("/proc/" .. stat.pid .. "/environ")
      return environment ~= nil and environment:find(mark, 1, true) ~= nil
    end
    for i = 1, 6 do
      program = proc.script([[
        local titan = require "titan"
        local pm = titan.manager { logs = { format = "none" } }
        pm:spawn("fault_workers.steady"):have_children()
        io.stdout:setvbuf "no"
        print "spawns"
        local starting = {}
        for i = 1, 12 do
          starting[i] = titan.go(function()
            print(pm:spawn("fault_workers.steady"):echo(i))
          end)
        end
        titan.all(starting)
        titan.sleep "1h"
      ]], { env = { TITAN_SPEC_MARK = mark:match "=(.*)" } })
      program:await_output("stdout", "spawns\n" .. ("%d+\n"):rep(i))
      program:kill "sigkill"
      program:await()
      proc.await("the end of everything", function()
        return #proc.list(marked) == 0
      end)
    end
  end))
end)
