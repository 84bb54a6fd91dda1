local cjson = require "cjson"
local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

proc.forget_leaks()

local PRINTER <const> = "fault_workers.printer"

local function in_task(fn)
  return function()
    titan.run(fn)
  end
end

describe("what a worker prints", function()
  -- The lines of one process, by stream.
  local function collect(pm)
    local lines = { stdout = {}, stderr = {} }
    pm:on("log", function(entry)
      table.insert(lines[entry.stream], entry.line)
    end)
    return lines
  end

  it("is told line by line, with name, pid, stream and time", managed(function(pm)
    local next_line = proc.listen(pm, "log")
    local worker = pm:spawn(PRINTER, { name = "talker" })
    local pid = pm:get_process_info("talker").pid
    worker:print("a", 1, nil)
    local entry = next_line()
    assert.equal("number", type(entry.time))
    entry.time = nil
    assert.same({ id = worker:__id(), name = "talker", pid = pid, stream = "stdout",
      line = "a\t1\tnil" }, entry)
    worker:write("stderr", "oh no\n\nagain")
    assert.equal("oh no", next_line().line)
    assert.equal("", next_line().line)
    worker:write("stderr", " and again\n")
    entry = next_line()
    assert.equal("stderr", entry.stream)
    assert.equal("again and again", entry.line)
  end))

  for what, ends in pairs {
    ["when it exits"] = function(_, worker)
      expect.error("worker_lost", worker.write_and_exit, worker, "whole\nunfinished")
    end,
    ["when it is stopped"] = function(pm, worker)
      worker:write("stdout", "whole\nunfinished")
      worker:write("stderr", "whole\nunfinished")
      pm:stop_process(worker:__id())
    end,
  } do
    it("is complete " .. what .. " in the middle of a line", managed(function(pm)
      local lines = collect(pm)
      ends(pm, pm:spawn(PRINTER))
      proc.await("both streams", function()
        return #lines.stdout == 2 and #lines.stderr == 2
      end)
      assert.same({ "whole", "unfinished" }, lines.stdout)
      assert.same({ "whole", "unfinished" }, lines.stderr)
    end))
  end

  for _, signal in ipairs { "sigkill", "sigabrt" } do
    it("is complete when " .. signal .. " ends it", managed(function(pm)
      local lines = collect(pm)
      local text = ("the same line again\n"):rep(3000) -- fits into a pipe
      local next_crash = proc.listen(pm, "process:crash")
      local worker = pm:spawn(PRINTER)
      expect.error("worker_lost", worker.write_and_die, worker, text, signal)
      local report = next_crash()
      assert.equal(3000, #lines.stdout)
      assert.equal(3000, #lines.stderr)
      assert.equal("the same line again", lines.stdout[3000])
      assert.is_true(#report.stderr > 1000 and #report.stderr <= 2048)
      assert.equal("", (report.stderr:gsub("the same line again\n", "")))
      assert.equal(report.stderr, report.stdout)
    end))
  end

  it("comes in pieces when a line is too long", managed(function(pm)
    local lines = collect(pm)
    local worker = pm:spawn(PRINTER)
    local long = ("0123456789"):rep(20000)
    worker:write("stdout", "before\n" .. long .. "\nafter\n")
    proc.await("all", function()
      return lines.stdout[#lines.stdout] == "after"
    end)
    assert.equal("before", lines.stdout[1])
    assert.equal(long, table.concat(lines.stdout, "", 2, #lines.stdout - 1))
    for i = 2, #lines.stdout - 1 do
      assert.is_true(#lines.stdout[i] <= 65536)
    end
    assert.equal(6, #lines.stdout)
  end))

  it("is in the error when it does not start", managed(function(pm)
    local err = expect.error("spawn_failed", pm.spawn, pm, PRINTER,
      { options = { last_words = "these were\nits last words\n" } })
    expect.part({ "no more words", "stderr: these were", "stderr: its last words" }, err.message)
    assert.equal("these were\nits last words\n", err.details.stderr)
    err = expect.error("spawn_failed", pm.spawn, pm, "fault_workers.stillborn")
    expect.part({ "stillborn.lua:4: stillborn", "stderr: no lamp was lit" }, err.message)
  end))
end)

describe("the manager's stderr", function()
  local function program(format, body, options)
    return proc.script(string.format([[
      local titan = require "titan"
      local pm = titan.manager { logs = { format = %q } }
      local worker = pm:spawn("fault_workers.printer", { name = "talker" })
      %s
      pm:stop_all()
    ]], format, body), options)
  end

  local function output(format, body)
    local running = program(format, body)
    local code = running:await()
    assert.equal("", running:stdout())
    assert.equal(0, code)
    return running:stderr()
  end

  local SAY <const> = [[
    worker:print "hello"
    worker:write("stderr", "oh\tno\n")
  ]]

  for _, format in ipairs { "json", "auto" } do
    it("has a JSON object a line with the format " .. format, in_task(function()
      local entries = {}
      for line in output(format, SAY):gmatch "([^\n]*)\n" do
        local entry = cjson.decode(line)
        entries[entry.stream] = entry
      end
      expect.part({ "-", "-", "T", ":", ":", ".", "Z" }, entries.stdout.time)
      local pid = entries.stdout.pid
      assert.equal("number", type(pid))
      assert.same({ name = "talker", pid = pid, stream = "stdout", line = "hello",
        time = entries.stdout.time }, entries.stdout)
      assert.same({ name = "talker", pid = pid, stream = "stderr", line = "oh\tno",
        time = entries.stderr.time }, entries.stderr)
    end))
  end

  it("has lines for people with the format text", in_task(function()
    local text = output("text", SAY)
    assert.truthy(text:find "%d%d:%d%d:%d%d%.%d%d%d talker%[%d+%] out| hello\n")
    assert.truthy(text:find "%d%d:%d%d:%d%d%.%d%d%d talker%[%d+%] err| oh\tno\n")
    assert.equal(2, select(2, text:gsub("\n", "")))
  end))

  it("has nothing with the format none", in_task(function()
    assert.equal("", output("none", SAY))
  end))

  it("is valid JSON whatever a worker prints", in_task(function()
    local text = output("json", [[
      local bytes = {}
      for byte = 0, 255 do
        bytes[#bytes + 1] = byte ~= 10 and string.char(byte) or nil
      end
      local bad, good = "\xed\xa0\x80\xf4\x90\x80\x80\xc0\xaf", "\u{1F600}"
      worker:write("stdout", table.concat(bytes) .. bad .. good .. "\n")
    ]])
    assert.truthy(utf8.len(text))
    local line = cjson.decode(text).line
    assert.equal("\0\1\2", line:sub(1, 3))
    expect.part({ '!"#', "[\\]", "\u{FFFD}", "\u{1F600}" }, line)
  end))

  it("has every line of a flood, whole and in order", in_task(function()
    local WORKERS <const>, LINES <const> = 4, 25000
    local running = proc.script([[
      local titan = require "titan"
      local workers, lines = table.unpack(arg)
      local pm = titan.manager { logs = { format = "json" } }
      local floods = {}
      for i = 1, workers do
        local worker = pm:spawn("fault_workers.printer", { name = "w" .. i })
        floods[i] = worker.async:flood(math.tointeger(lines))
        floods[workers + i] = titan.go(function()
          for n = 1, 500 do
            assert(worker:echo(n) == n)
          end
        end)
      end
      titan.all(floods)
    ]], { args = { tostring(WORKERS), tostring(LINES) } })
    assert.equal(0, running:await())
    local seen, count = {}, 0
    for line in running:stderr():gmatch "([^\n]*)\n" do
      local entry = cjson.decode(line)
      local name, number, dots = entry.line:match "^(w%d) (%d+) (%.*)$"
      number = math.tointeger(number)
      local stream = number % 10 == 0 and "stderr" or "stdout"
      local last = seen[name .. stream] or 0
      if name ~= entry.name or #dots ~= number % 100 or stream ~= entry.stream
        or number <= last then
        error(string.format("after %d came %s", last, line))
      end
      seen[name .. stream] = number
      count = count + 1
    end
    assert.equal(WORKERS * LINES, count)
  end))

  describe("that is closed", function()
    local TALK <const> = [[
      io.stdout:setvbuf "no"
      print "begun"
      io.read()
      for i = 1, 100 do
        worker:print(i)
      end
      assert(worker:echo "fine" == "fine")
      print "done"
    ]]

    for _, signals in ipairs { "true", "false" } do
      it("does not end it, with handle_signals = " .. signals, in_task(function()
        local running = proc.script(([[
          local titan = require "titan"
          local pm = titan.manager {
            logs = { format = "text" }, advanced = { handle_signals = HANDLE },
          }
          local worker = pm:spawn "fault_workers.printer"
        ]]):gsub("HANDLE", signals) .. TALK, { input = true })
        running:await_output("stdout", "begun")
        running:close "stderr"
        running:write "go\n"
        assert.equal(0, running:await())
        expect.part("done", running:stdout())
      end))
    end

    it("from the beginning stays closed", in_task(function()
      local directory = proc.directory { ["app.lua"] = [[
        local titan = require "titan"
        local pm = titan.manager { logs = { format = "text" } }
        local worker = pm:spawn "fault_workers.printer"
      ]] .. TALK }
      local running = proc.start("bash", { "-c", 'exec "$0" run "$1" 0</dev/null 2>&-', proc.titan,
        directory .. "/app.lua" })
      assert.equal(0, running:await())
      expect.part({ "begun", "done" }, running:stdout())
      proc.remove(directory)
    end))
  end)
end)
