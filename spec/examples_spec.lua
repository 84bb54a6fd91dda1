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

  it("streaming takes a file line by line, and not all of it", function()
    titan.run(function()
      local said = run_example("examples/streaming/app.lua", "5")
      expect.part({ "a file of 5 MiB, ", "all of it: ", "a slow reader at line 100: the worker has "
        .. "read ", " 1 file open", "out of the loop: 0 files open", "taken here: ",
        "no such file: remote_error" }, said)
      local ahead = tonumber(said:match "has read ([%d.]+) MiB")
      assert(ahead < 4.8, ahead)
      local lines = said:match "a file of 5 MiB, (%d+) lines"
      expect.part({ "all of it: " .. lines, "taken here: " .. lines .. " lines",
        "meanwhile: " .. lines .. "\n" }, said)
    end)
  end)
end)
