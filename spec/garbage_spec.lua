local expect = require "support.expect"
local managed = require "support.managed"
local proc = require "support.proc"

proc.forget_leaks()

local function frame(body)
  return string.pack("<s4", body)
end

-- MessagePack by hand: these are not the messages that core.encode would write.
local NIL <const>, TRUE <const> = "\xc0", "\xc3"
local function array(...)
  return string.char(0x90 + select("#", ...)) .. table.concat({ ... })
end
local function text(s)
  return string.char(0xa0 + #s) .. s
end
local REQUEST <const>, RESPONSE <const> = "\0", "\1"
local NOTIFICATION <const>, CANCEL <const> = "\2", "\3"
local function nested(depth)
  return ("\x91"):rep(depth) .. NIL
end

-- What a worker may write where calls are answered, and what is said about it. The call
-- under way has the number 0.
local ON_DATA <const> = {
  { "an empty frame", string.pack("<I4", 0), "an empty frame" },
  { "a frame that is too large", string.pack("<I4", 0xffffffff), "a frame of 4294967295 bytes" },
  { "text", frame "GET / HTTP/1.1\r\n", "something other than an array" },
  { "an empty array", frame(array()), "something other than an array" },
  { "a byte that MessagePack never uses", frame(array(RESPONSE, "\0", "\xc1", NIL)), "0xc1" },
  { "a message of an unknown kind", frame(array("\9", "\0")), "unknown kind" },
  { "a message without a kind", frame(array(NIL)), "unknown kind" },
  { "a truncated message", frame "\x94\1", "truncated" },
  { "a string longer than its message", frame "\x94\1\0\xdb\xff\xff\xff\xff", "truncated" },
  { "an array longer than its message", frame "\x94\1\0\xc0\xdd\xff\xff\xff\xff", "" },
  { "bytes behind a message", frame(array(CANCEL, "\0") .. NIL), "bytes after the end" },
  { "an answer of three fields", frame(array(RESPONSE, "\0", NIL)), "four fields" },
  { "an answer to nothing", frame(array(RESPONSE, "\7", NIL, array())), "was not made" },
  { "an answer to a name", frame(array(RESPONSE, text "a", NIL, array())), "message id" },
  { "an answer to a negative number", frame(array(RESPONSE, "\xff", NIL, array())), "message id" },
  { "results that are no list", frame(array(RESPONSE, "\0", NIL, TRUE)), "" },
  { "results nested too deeply", frame(array(RESPONSE, "\0", NIL, nested(66))), "nested" },
  { "a hundred thousand tables", frame(array(RESPONSE, "\0", NIL, nested(100000))), "nested" },
  { "an error nested too deeply", frame(array(RESPONSE, "\0", nested(65), NIL)), "nested" },
  { "bytes behind results", frame(array(RESPONSE, "\0", NIL, array() .. NIL)), "after the end" },
  { "a notification", frame(array(NOTIFICATION, text "hello", array())), "a notification" },
  { "a request without a method", frame(array(REQUEST, "\0", NIL, array())), "a method" },
  { "a request by number", frame(array(REQUEST, "\0", "\0", array())), "names no method" },
  { "a request that is cut", frame(array(REQUEST, "\0", text "echo", "\x92")), "malformed" },
  { "random bytes", "\x9d\x81\x10\x00\xe2\x0c\x05\x5b\x1f" .. ("\xe7\x3a\x91"):rep(400000), "" },
}

local ON_CONTROL <const> = {
  { "a notification", frame(array(NOTIFICATION, text "coup", array())), "unknown control" },
  { "failed although it is ready", frame(array(NOTIFICATION, text "failed", "\x80")),
    "a failure to start after it was ready" },
  { "a request", frame(array(REQUEST, "\0", text "echo", array())), "a request on the control" },
  { "a cancel", frame(array(CANCEL, "\0")), "a cancel on the control" },
  { "an answer", frame(array(RESPONSE, "\0", NIL, array())), "was not made" },
}

describe("a worker that writes", function()
  local function check(pm, channel, bytes, said)
    local next_crash = proc.listen(pm, "process:crash")
    local other = pm:spawn "fault_workers.foul"
    local worker = pm:spawn "fault_workers.foul"
    local waiting = worker.async:write(channel, bytes)
    local err = expect.error("protocol_error", waiting.await, waiting)
    expect.part(said, err.message)

    local report = next_crash()
    assert.equal(worker:__id(), report.id)
    assert.equal("protocol_error", report.error.code)
    assert.equal("SIGKILL", report.exit_signal)
    assert.equal("crashed", pm:get_process_info(worker:__id()).status)
    assert.is_nil(proc.stat(report.pid))
    assert.equal("fine", other:echo "fine")
  end

  it("half a frame and exits has only exited", managed(function(pm)
    local worker = pm:spawn "fault_workers.foul"
    local err = expect.error("worker_lost", worker.write_and_exit, worker, "data",
      frame(array(RESPONSE, "\0", NIL, array())):sub(1, -2))
    assert.equal("the worker exited with code 0 in the middle of this call", err.message)
  end))

  it("an answer before garbage has answered", managed(function(pm)
    local worker = pm:spawn "fault_workers.foul"
    local answered = worker.async:write("data", frame(array(RESPONSE, "\0", NIL, array(text "yes")))
      .. "\0\0\0\0")
    local waiting = worker.async:echo()
    assert.equal("yes", answered:await())
    expect.error("protocol_error", waiting.await, waiting)
  end))

  for channel, cases in pairs { data = ON_DATA, control = ON_CONTROL } do
    for _, case in ipairs(cases) do
      local what, bytes, said = table.unpack(case)
      it(what .. " on its " .. channel .. " connection is killed", managed(function(pm)
        check(pm, channel, bytes, said)
      end))
    end
  end
end)

-- Frames of the right kind at the right time, with the wrong things in them.
local function said(what, payload)
  return frame(array(NOTIFICATION, text(what), payload))
end
local MALFORMED <const> = "\xc1"

local WHILE_STARTING <const> = {
  { "ready with something malformed", said("ready", MALFORMED) },
  { "ready with nothing", said("ready", NIL) },
  { "ready with a number", said("ready", "\5") },
  { "ready with methods that are no table", said("ready", "\x81" .. text "methods" .. "\5") },
  { "ready with methods that have no names",
    said("ready", "\x81" .. text "methods" .. "\x82" .. TRUE .. "\0" .. text "a" .. "\1") },
  { "ready with methods that have no numbers",
    said("ready", "\x81" .. text "methods" .. "\x81" .. text "a" .. text "b") },
  { "declared with something malformed", said("declared", MALFORMED) },
  { "declared with nothing", said("declared", NIL) },
  { "declared with a number", said("declared", "\5") },
  { "declared with dependencies that are no list",
    said("declared", "\x81" .. text "dependencies" .. "\5") },
  { "declared with dependencies that are none",
    said("declared", "\x81" .. text "dependencies" .. "\x91\5") },
  { "declared with dependencies without a name",
    said("declared", "\x81" .. text "dependencies" .. "\x91\x80") },
  { "failed with something malformed", said("failed", MALFORMED) },
  { "failed with nothing", said("failed", NIL), exits = true },
  { "failed with a message that is none", said("failed", "\x81" .. text "message" .. "\x80"),
    exits = true },
}

describe("a worker that says while it starts that it is", function()
  for _, case in ipairs(WHILE_STARTING) do
    local what, bytes = table.unpack(case)
    it(what .. " does not start, and nobody else minds", managed(function(pm)
      local other = pm:spawn "fault_workers.foul"
      expect.error("spawn_failed", pm.spawn, pm, "fault_workers.foul",
        { name = "liar", options = { bytes = bytes, exits = case.exits } })
      assert.is_nil(pm:discover "liar")
      assert.equal("fine", other:echo "fine")
      assert.is_true(pm:stop_all())
    end))
  end
end)
