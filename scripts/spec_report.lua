-- A busted output handler: prints what failed, and appends a line a test ("passed", "failed" or
-- "skipped") to the file named by TITAN_TEST_RESULTS, so that a run that dies counts up to there.

local results = assert(io.open(assert(os.getenv "TITAN_TEST_RESULTS"), "a"))
results:setvbuf "no"

local words = { success = "passed", pending = "skipped", failure = "failed", error = "failed" }

local function text(value)
  return type(value) == "string" and value or require("pl.pretty").write(value)
end

local function print_failure(report)
  local where = report.element.trace or report.trace or {}
  local file, line = where.short_src or "?", where.currentline or "?"

  io.write(("FAILED %s:%s: %s\n"):format(file, line, report.name))
  io.write("  ", (text(report.message):gsub("\n", "\n  ")), "\n")
  if report.isError and report.trace and report.trace.traceback then
    io.write("  ", (report.trace.traceback:gsub("^\n", ""):gsub("\n", "\n  ")), "\n")
  end
  io.flush()
end

return function()
  local busted = require "busted"
  local handler = require "busted.outputHandlers.base"()

  busted.subscribe({ "test", "end" }, function(_, _, status)
    results:write(words[status], "\n")
    if status == "failure" then
      print_failure(handler.failures[#handler.failures])
    elseif status == "error" then
      print_failure(handler.errors[#handler.errors])
    end
    return nil, true
  end)

  -- An error outside of a test: a file that does not load, a failing setup or teardown.
  local function outside(element)
    if element.descriptor ~= "it" then
      results:write "failed\n"
      print_failure(handler.errors[#handler.errors])
    end
    return nil, true
  end
  busted.subscribe({ "error" }, outside)
  busted.subscribe({ "failure" }, outside)

  return handler
end
