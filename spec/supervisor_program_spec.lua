local expect = require "support.expect"
local proc = require "support.proc"
local program = require "support.program"
local titan = require "titan"

proc.forget_leaks()

-- A tree whose innermost crash is one too many for all of it.
local TREE <const> = [[
  local function critical(name, kind, what)
    return { name = name, [kind] = what, critical = true }
  end
  local tree = pm:create_supervisor { name = "root", max_restarts = 0, children = {
    critical("above", "process", "fault_workers.phoenix"),
    critical("middle", "supervisor", { max_restarts = 0, children = {
      critical("below", "process", "fault_workers.phoenix"),
    } }),
  } }
]]

describe("a program whose root supervisor gives up", function()
  local function story(result)
    expect.part({
      'supervisor "root" gave up: child "middle" is critical', "killed by SIGKILL",
      "above is up", "middle is up", "in supervisor middle:", "below: was killed by SIGKILL",
    }, result.stderr)
  end

  it("ends with its story", function()
    local result = program.run(TREE .. [[
      tree:start()
      pm:kill "below"
    ]])
    assert.equal(1, result.code)
    story(result)
  end)

  it("ends in the middle of what it does", function()
    local result = program.run(TREE .. [[
      tree:start()
      pm:kill "below"
      titan.sleep "1h"
      print "slept"
    ]])
    assert.equal(1, result.code)
    story(result)
    assert.is_nil(result.stdout:find "slept")
  end)

  it("cannot hide it", function()
    local result = program.run(TREE .. [[
      tree:start()
      pm:kill "below"
      local ok, err = pcall(titan.sleep, "1h")
      print(ok, err.code)
      return true
    ]])
    assert.equal("false\tworker_lost\n", result.stdout)
    assert.equal(1, result.code)
    story(result)
  end)

  it("goes on when it wants to hear of it", function()
    local result = program.run(TREE .. [[
      local heard = titan.go(titan.sleep, "1h")
      heard:ignore()
      pm:on("supervisor:failed", function(failed)
        print(failed.name, failed.parent, failed.error.code)
        if failed.name == "root" then
          heard:cancel()
        end
      end)
      tree:start()
      pm:kill "below"
      pcall(heard.await, heard)
      print(tree:status())
      tree:start()
      print(pm:discover("below"):echo "again")
      tree:stop()
    ]])
    assert.equal("middle\troot\tworker_lost\nroot\tnil\tworker_lost\nstopped\nagain\n",
      result.stdout)
    assert.equal("", result.stderr)
    assert.equal(0, result.code)
  end)

  it("is told by titan.run as well", function()
    local result = program.lua(TREE .. [[
      tree:start()
      pm:kill "below"
    ]])
    assert.equal(1, result.code)
    story(result)
  end)

  it("ends likewise when the start of a supervisor is not awaited", function()
    local result = program.run [[
      titan.go(function()
        pm:create_supervisor { children = {
          { process = "fault_workers.stillborn", critical = true },
        } }:start()
      end)
    ]]
    assert.equal(1, result.code)
    expect.part({ "stillborn", "no lamp was lit" }, result.stderr)
  end)
end)

describe("a program with a tree that gets SIGTERM", function()
  local APP <const> = [[
    local titan = require "titan"
    local core = require "titan.core"
    local directory = ...
    local pm = titan.manager { logs = { format = "none" },
      restart_policy = { delay = 0, backoff = { initial = 0, jitter = 0 } } }
    local function child(name)
      return { name = name, process = "fault_workers.steady", options = {
        options = { journal = directory .. "/journal" } } }
    end
    local tree = pm:create_supervisor { strategy = "one_for_all", children = {
      child "a",
      { name = "inner", supervisor = { children = { child "b", child "c" } } },
      child "d",
    } }
    tree:start()
    local pids = { core.manager_zygote_pid(pm.handle), pm:discover("b"):have_children() }
    for _, info in ipairs(pm:get_all_processes()) do
      pids[#pids + 1] = info.pid
    end
    print("pids " .. table.concat(pids, " "))
    io.stdout:flush()
  ]]

  it("stops it right to left and leaves nothing behind", function()
    titan.run(function()
      local directory = proc.directory()
      local run = proc.script(APP, { args = { directory } })
      local pids = { proc.pids_in(run:await_output("stdout", "(pids [%d ]+)\n")) }
      assert.equal(7, #pids)
      for _, pid in ipairs(pids) do
        assert.is_true(proc.alive(pid))
      end
      run:kill "sigterm"
      assert.equal(0, run:await())
      assert.equal("", run:stderr())
      local expected = {}
      for i, name in ipairs { "d", "c", "b", "a" } do
        expected[i] = string.format("%s says goodbye\n%s closes the door\n", name, name)
      end
      assert.equal(table.concat(expected), proc.read(directory .. "/journal"))
      proc.await_gone(table.unpack(pids))
      proc.remove(directory)
    end)
  end)
end)
