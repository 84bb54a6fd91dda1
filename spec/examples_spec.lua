--- The examples run as they are printed.

local expect = require "support.expect"
local proc = require "support.proc"
local titan = require "titan"

local function run_example(...)
  local path, args = ..., { select(2, ...) }
  local program = proc.start(os.getenv "TITAN_BUILD" .. "/titan", { "run", path,
    table.unpack(args) })
  local code = program:await()
  assert.equal(0, code, program:stderr())
  return program:stdout()
end

describe("the example", function()
  it("wordcount counts, and shows a crash", function()
    titan.run(function()
      local said = run_example("examples/wordcount/app.lua", "README.md", "CHANGELOG.md")
      expect.part({ "2 files", "killing counter-1", "its caller got: worker_lost" }, said)
    end)
  end)

  it("supervised heals, and loses no call", function()
    titan.run(function()
      local said = run_example("examples/supervised/app.lua", "2")
      expect.part({ "+- ledger * is up", "x was killed by SIGKILL", "* is back, life 2",
        "shop, after 2 seconds under fire", "ledger      process    running",
        "dispatch    supervisor running", "tills       pool       running", ", 0 lost" }, said)
    end)
  end)

  it("resilient_client always has an answer", function()
    titan.run(function()
      local said = run_example("examples/resilient_client/app.lua")
      expect.part({ "is well", "today's rate", "is shaky", "10 EUR are 15.00: today's rate",
        "does not answer", "yesterday's rate, since timeout",
        "yesterday's rate, since circuit_open",
        "is found out", "yesterday's rate, since circuit_open", "today's rate", "today's rate",
        "4 got today's rate", "4 got yesterday's rate, since overloaded" }, said)
    end)
  end)
end)
