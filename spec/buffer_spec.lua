local expect = require "support.expect"
local luv = require "luv"
local managed = require "support.managed"
local proc = require "support.proc"
local titan = require "titan"

local KIB <const>, MIB <const> = 1 << 10, 1 << 20
local WORKER <const> = "workers.buffers"

-- How many descriptors of a process lead to memory of that name.
local function descriptors(pid, name)
  local count, folder = 0, "/proc/" .. math.tointeger(pid) .. "/fd/"
  for entry in luv.fs_scandir_next, assert(luv.fs_scandir(folder)) do
    local target = luv.fs_readlink(folder .. entry)
    if target and target:find("memfd:" .. name, 1, true) then
      count = count + 1
    end
  end
  return count
end

-- The number of the memory that a descriptor leads to; nil when it is no buffer.
local function buffer_at(path)
  local target = luv.fs_readlink(path)
  local stat = target and target:find("memfd:titan-buffer", 1, true) and luv.fs_stat(path)
  return stat and stat.ino
end

-- How many descriptors in the whole system lead to that memory.
local function holders(inode)
  local count = 0
  for pid in luv.fs_scandir_next, assert(luv.fs_scandir "/proc") do
    local folder = pid:find "^%d+$" and luv.fs_scandir("/proc/" .. pid .. "/fd")
    local entry = folder and luv.fs_scandir_next(folder)
    while entry do
      count = count + (buffer_at("/proc/" .. pid .. "/fd/" .. entry) == inode and 1 or 0)
      entry = luv.fs_scandir_next(folder)
    end
  end
  return count
end

-- The memory of a process that has one buffer.
local function only_buffer(pid)
  local folder = "/proc/" .. math.tointeger(pid) .. "/fd/"
  for entry in luv.fs_scandir_next, assert(luv.fs_scandir(folder)) do
    local inode = buffer_at(folder .. entry)
    if inode then
      return inode
    end
  end
end

-- Where a process has the only buffer that it has mapped.
local function only_mapping(pid)
  local found
  for line in io.lines("/proc/" .. math.tointeger(pid) .. "/maps") do
    if line:find("memfd:titan-buffer", 1, true) then
      assert(not found, "two are mapped")
      found = line:match "^%S+"
    end
  end
  return assert(found, "none is mapped")
end

local function own(name)
  return descriptors(luv.os_getpid(), name or "titan-buffer")
end

-- How many we have of our own, after what earlier tests left: garbage, or large and kept a while.
local function settled()
  local clock <close> = titan.testing.virtual_clock()
  collectgarbage()
  clock:advance(1000)
  return own()
end

local function pattern(len)
  local unit = {}
  for i = 0, 250 do
    unit[i + 1] = string.char(i)
  end
  return table.concat(unit):rep(len // 251 + 1):sub(1, len)
end

describe("a buffer", function()
  it("is made of a length or of bytes, and read and written by position", function()
    local b = titan.buffer(10)
    assert.equal(10, #b)
    assert.equal(("\0"):rep(10), b:read())
    assert.equal(b, b:write(3, "abc"))
    assert.equal("\0\0abc", b:read(1, 5))
    assert.equal("c\0", b:read(5, 2))
    assert.equal(97, b:byte(3))
    assert.equal("\0\0ab\255", b:set_byte(5, 255):read(1, 5))
    assert.equal("xxxxxxxxxx", b:fill(120):read())
    assert.equal("xxyyxx\0\0\0\0", b:fill(121, 3, 2):fill(nil, 7):read())
    assert.equal("text", titan.buffer("text"):read())
    assert.equal("", titan.buffer(0):read())
    assert.equal("titan.buffer: 10 bytes", tostring(b))
  end)

  it("has numbers as string.pack writes them", function()
    local b = titan.buffer(32)
    assert.equal(15, b:pack("<i4 d z", 1, -7, 0.5, "s"))
    assert.same({ -7, 0.5, "s", 15 }, { b:unpack("<i4 d z") })
    assert.same({ 0.5, 13 }, { b:unpack("<d", 5) })
    expect.error("validation_failed", b.pack, b, "<i8", 26, 1)
    expect.error("validation_failed", b.unpack, b, "<i8", 26)
  end)

  it("is not read or written outside of its bytes", function()
    local b = titan.buffer(8)
    for _, range in ipairs { { 0 }, { -1 }, { 10 }, { 1, 9 }, { 9, 1 }, { 2, math.maxinteger },
      { math.maxinteger }, { math.mininteger, 1 }, { 1, -1 } } do
      expect.error("validation_failed", b.read, b, table.unpack(range))
      expect.error("validation_failed", b.slice, b, table.unpack(range))
      expect.error("validation_failed", b.fill, b, 0, table.unpack(range))
    end
    assert.equal("", b:read(9))
    expect.error("validation_failed", b.write, b, 8, "ab")
    expect.error("validation_failed", b.byte, b, 9)
    assert.is_false(pcall(b.set_byte, b, 1, 256))
    assert.is_false(pcall(b.read, "no buffer"))
    assert.is_false(pcall(titan.buffer, -1))
  end)

  it("has slices of the same memory, which keep it", function()
    local b = titan.buffer("0123456789")
    local slice = b:slice(3, 4)
    assert.equal("2345", slice:read())
    slice:write(1, "ab"):slice(2):write(1, "XYZ")
    assert.equal("01aXYZ6789", b:read())
    b:write(2, b:slice(4, 7))
    assert.equal("0XYZ678989", b:read())
    b:release()
    assert.equal("YZ67", slice:read())
    expect.error("validation_failed", slice.read, slice, 1, 5)
  end)

  it("is equal to another of the same bytes in the same memory", function()
    local b, other = titan.buffer("same"), titan.buffer("same")
    assert.is_true(b == b:slice())
    assert.is_true(b:slice(2) == b:slice(1):slice(2))
    assert.is_false(b == other)
    assert.is_false(b:slice(2) == b)
  end)

  it("is not used after it was let go", function()
    collectgarbage()
    local before = own()
    local kept
    do
      local b <close> = titan.buffer(MIB)
      assert.equal(before + 1, own())
      kept = b
    end
    assert.equal(before, own())
    assert.equal("titan.buffer: released", tostring(kept))
    expect.error("destroyed", kept.read, kept)
    expect.error("destroyed", kept.slice, kept)
    assert.is_false(kept == kept:release())
  end)

  it("keeps its length", function()
    local b = titan.buffer(8)
    local err = expect.error("validation_failed", b.resize, b, 16)
    expect.part({ "keeps its length", "titan.buffer(len)" }, err.message)
  end)

  it("that is garbage holds no descriptors for long", function()
    collectgarbage()
    for _ = 1, 2000 do
      titan.buffer(1)
    end
    assert.is_true(own() < 300)
    collectgarbage()
  end)

  describe("that is large and was garbage is kept for a second", function()
    -- Looked at, or there would be nothing worth keeping.
    local function looked_at(len)
      return titan.buffer(len):set_byte(1, 7)
    end

    local function in_its_time(fn)
      return managed(function()
        local before = settled()
        local clock <close> = titan.testing.virtual_clock()
        fn(clock, before)
      end)
    end

    it("and then no longer", in_its_time(function(clock, before)
      looked_at(MIB)
      collectgarbage()
      assert.equal(before + 1, own())
      clock:advance(500)
      looked_at(MIB)
      collectgarbage()
      clock:advance(999)
      assert.equal(before + 2, own())
      clock:advance(1)
      assert.equal(before, own())
    end))

    it("but only a few, of some MiB together", in_its_time(function(_, before)
      for _ = 1, 10 do
        looked_at(MIB)
        collectgarbage()
      end
      assert.equal(before + 4, own())
      looked_at(7 * MIB)
      collectgarbage()
      assert.equal(before + 2, own())
      looked_at(9 * MIB)
      collectgarbage()
      assert.equal(before + 2, own())
    end))

    it("but not a small, an unseen or one let go by hand", in_its_time(function(_, before)
      looked_at(255 * KIB)
      titan.buffer(MIB)
      looked_at(MIB):release()
      do
        local _ <close> = looked_at(MIB)
      end
      collectgarbage()
      assert.equal(before, own())
    end))
  end)

  it("has no digest and no place in a store", function()
    expect.error("validation_failed", titan.digest, titan.buffer(1))
    expect.error("validation_failed", require("titan.core").encode, { titan.buffer(1) })
  end)
end)

describe("a buffer that is sent", function()
  it("is the same memory on both sides, both ways and in tables", managed(function(pm)
    local worker = pm:spawn(WORKER)
    local b = titan.buffer(pattern(100))
    assert.equal(pattern(100), worker:read(b))
    worker:write(b, 5, "there")
    assert.equal("there", b:read(5, 5))
    local back = worker:echo { list = { b, b:slice(5, 5) } }
    assert.is_true(back.list[1] == b)
    back.list[2]:write(1, "HERE!")
    assert.equal("HERE!", b:read(5, 5))
    local made = worker:make "made there"
    assert.equal("made there", made:read())
  end))

  it("is mapped once, as often as it comes", managed(function(pm)
    local worker, b = pm:spawn(WORKER), titan.buffer(MIB)
    local pid = worker:pid()
    worker:write(b, 1, "here")
    worker:drop() -- that was garbage
    for _ = 1, 3 do
      local first = only_mapping(pid)
      worker:keep(b)
      worker:write(b, 1, "there")
      worker:drop()
      assert.equal(first, only_mapping(pid))
    end
    assert.equal("there", b:read(1, 5))
    assert.equal(1, descriptors(pid, "titan-buffer"))
  end))

  it("is there for who holds it, also when others were killed", managed(function(pm)
    local worker, other = pm:spawn(WORKER), pm:spawn(WORKER)
    local b = worker:make "kept"
    worker:keep(b)
    other:keep(b)
    pm:kill(worker:__id())
    b:release()
    assert.equal("kept", other:kept():read())
    local pid = other:pid()
    collectgarbage()
    assert.equal(1, descriptors(pid, "titan-buffer"))
    other:drop()
    assert.equal(0, descriptors(pid, "titan-buffer"))
  end))

  it("is freed when the only one who holds it is killed", managed(function(pm)
    local worker = pm:spawn(WORKER)
    local b = titan.buffer "theirs alone"
    worker:keep(b)
    b:release()
    collectgarbage()
    local inode = only_buffer(worker:pid())
    assert.equal(1, holders(inode))
    pm:kill(worker:__id())
    proc.await("its end", function()
      return holders(inode) == 0
    end)
  end))

  it("is freed when its receiver is killed before it has read it", managed(function(pm)
    local worker = pm:spawn(WORKER)
    local pid = worker:pid()
    local b = titan.buffer "under way"
    collectgarbage()
    local inode = only_buffer(luv.os_getpid())
    luv.kill(pid, "sigstop")
    local call = worker.async:keep(b)
    b:release()
    proc.await("sending", function()
      return holders(inode) == 0 -- in the socket alone
    end)
    pm:kill(worker:__id())
    expect.error("worker_lost", call.await, call)
    assert.equal(0, holders(inode))
  end))

  for _, isolation in ipairs { "worker", "thread" } do
    it("goes by reference over isolation " .. isolation, managed(function(pm)
      local before = settled()
      local worker = pm:spawn(WORKER, { isolation = isolation })
      local other = pm:spawn(WORKER, { isolation = isolation })
      local b = titan.buffer(pattern(100))
      worker:keep(b:slice(2))
      other:keep(b)
      assert.is_true(worker:echo(b) == b and other:kept() == b)
      other:write(b, 2, "there")
      assert.equal("there", worker:kept():read(1, 5))
      collectgarbage()
      assert.equal(before + 1, own())
      b:release()
      worker:drop()
      collectgarbage()
      assert.equal(before + 1, own())
      assert.equal("there", other:kept():read(2, 5))
      pm:kill(other:__id())
      proc.await("its end", function()
        collectgarbage()
        return own() == before
      end)
    end))
  end

  it("is shared by who gets it from a cache, and kept in no other place", managed(function(pm)
    local worker = pm:spawn(WORKER)
    local b, run = worker:cached "same"
    local again, run_again = worker:cached "same"
    assert.is_true(b == again and run == run_again)
    b, run = worker:cached_for_all "another"
    again, run_again = worker:cached_for_all "another"
    assert.equal("another", again:read())
    assert.is_true(b ~= again and run_again == run + 1)
    local err = expect.error("validation_failed", worker.once, worker, "none")
    expect.part({ "result 1", "shared, not kept" }, err.message)
    expect.error("validation_failed", worker.cached, worker, titan.buffer(1))
  end))

  it("costs no descriptors once it is let go", managed(function(pm)
    local before = settled() + 1
    local worker = pm:spawn(WORKER)
    local pid = worker:pid()
    local b = titan.buffer(16)
    for _ = 1, 1000 do
      assert.equal(b, worker:echo(b))
    end
    collectgarbage()
    worker:drop()
    assert.equal(before, own())
    assert.equal(0, descriptors(pid, "titan-buffer"))
  end))

  it("goes from worker to worker and through pools", managed(function(pm)
    pm:create_pool(WORKER, { name = "shared", size = 2 })
    local worker = pm:spawn(WORKER)
    pm:spawn(WORKER, { name = "other" })
    local b, text = titan.buffer "12345", pattern(300 * KIB)
    for _, service in ipairs { "shared", "other" } do
      worker:pass(service, "write", b:slice(2, 3), 1, service:sub(1, 3))
      assert.equal("1" .. service:sub(1, 3) .. "5", b:read())
      local same, long, made = worker:pass(service, "echo", b, text, { b:slice(2) })
      assert.is_true(same == b and made[1] == b:slice(2) and long == text)
    end
    pm:stop_all(0) -- a pool keeps the run going
  end))

  it("waits with its call for a worker of a pool", managed(function(pm)
    pm:create_pool(WORKER, { name = "one", size = 1, max_concurrency = 1 })
    local worker, text = pm:spawn(WORKER), pattern(MIB)
    local futures = {}
    for i = 1, 12 do
      futures[i] = worker.async:pass("one", "echo", i, titan.buffer(text), text)
    end
    for i, future in ipairs(futures) do
      local n, b, s = future:await()
      assert.is_true(n == i and b:read() == text and s == text)
      b:release()
    end
    pm:stop_all(0)
  end))

  it("comes with the options of a worker, in each of its lives", managed({
    restart_policy = { enabled = true, delay = 0, backoff = { initial = 0 } },
  }, function(pm)
    local b = titan.buffer "first"
    local worker = pm:spawn(WORKER, { options = { kept = b } })
    worker:write(worker:kept(), 1, "FIRST")
    assert.equal("FIRST", b:read())
    local back = false
    pm:on("process:restart", function()
      back = true
    end)
    pm:kill(worker:__id())
    while not back do
      titan.sleep(1)
    end
    assert.is_true(worker:kept() == b)
  end))

  it("may be an item of a stream", managed(function(pm)
    local worker = pm:spawn(WORKER)
    local seen = 0
    for i, b in worker:series(200, 8, true) do
      assert.equal(string.char(i):rep(8), b:read())
      b:release()
      seen = seen + 1
    end
    assert.equal(200, seen)
  end))

  it("is one of so many in a message", managed(function(pm)
    local worker, many = pm:spawn(WORKER), {}
    for i = 1, 251 do
      many[i] = titan.buffer(1)
    end
    expect.error("limit_exceeded", worker.echo, worker, many)
    many[251] = many[1]:slice()
    assert.equal(251, #worker:echo(many))
    for i = 1, 251 do
      many[i]:release()
    end
    expect.error("validation_failed", worker.echo, worker, many[1])
  end))

  it("fails that call alone when its receiver has no descriptors left", managed(function(pm)
    local worker = pm:spawn(WORKER)
    local limits = worker:pid()
    os.execute("prlimit --nofile=" .. 16 .. ":" .. 1024 .. " --pid " .. limits)
    local some = {}
    for i = 1, 30 do
      some[i] = titan.buffer(1)
    end
    local err = expect.error("limit_exceeded", worker.length, worker, some)
    expect.part({ "out of descriptors" }, tostring(err))
    assert.equal(3, worker:length "abc")
    os.execute("prlimit --nofile=1024:1024 --pid " .. limits)
    assert.equal(30, worker:length(some))
  end))

  it("can be asked for by a schema", function()
    local check = require("titan.validation").compile("buffer?", "s")
    assert.is_nil(check(titan.buffer(1)))
    assert.is_nil(check(nil))
    assert.equal("titan.buffer", select(2, check "text"))
  end)

  it("goes to a mock worker by reference", function()
    titan.run(function()
      local pm = titan.manager { testing = { use_mock_spawner = true }, logs = { format = "none" } }
      local b = titan.buffer "mocked"
      local worker = pm:spawn(WORKER, { options = { kept = b } })
      worker:write(b, 1, "M")
      assert.equal("Mocked", b:read())
      assert.is_true(worker:kept() == b and worker:echo(b) == b)
      pm:stop_all(0)
    end)
  end)
end)

describe("a large string", function()
  for _, len in ipairs { 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, 9 * MIB } do
    it("of " .. len .. " bytes arrives as it was", managed(function(pm)
      local worker, text = pm:spawn(WORKER), pattern(len)
      assert.is_true(worker:echo(text) == text)
      assert.equal(len, worker:length(text))
      local back = worker:echo({ a = text, [text] = 1 }, text)
      assert.is_true(back.a == text and back[text] == 1)
    end))
  end

  it("is as long as a frame may be", managed(function(pm)
    local worker = pm:spawn(WORKER)
    local text = ("0123456789abcde\n"):rep(63 * MIB // 16)
    assert.equal(63 * MIB, worker:length(text))
    assert.is_true(worker:echo(text) == text)
    local err = expect.error("limit_exceeded", worker.length, worker, text .. text:sub(1, MIB))
    expect.part({ "limits.frame" }, err.message)
    assert.equal(1, worker:echo(1))
  end))

  it("is counted for limits.frame", managed({ limits = { frame = "1MB" } }, function(pm)
    local worker, text = pm:spawn(WORKER), pattern(300 * KIB)
    assert.is_true(select(3, worker:echo(text, text, text)) == text)
    local err = expect.error("limit_exceeded", worker.echo, worker, text, text, text, text)
    expect.part({ "limits.frame" }, err.message)
    assert.equal(1, worker:echo(1))
  end))

  it("finds room again and again, and none is lost by those who do not wait", managed(function(pm)
    local worker, text = pm:spawn(WORKER), pattern(MIB)
    for _ = 1, 3 do
      local futures = {}
      for i = 1, 12 do -- more than the arena has room for
        futures[i] = worker.async:wait(text)
      end
      titan.sleep(1)
      for i = 1, 12 do
        futures[i]:cancel()
        pcall(futures[i].await, futures[i])
      end
      expect.error("timeout", function()
        worker:with({ timeout = 5 }):wait(text)
      end)
    end
    for _ = 1, 10 do
      assert.is_true(worker:echo(text) == text)
    end
    assert.equal(2, own "titan-arena")
    assert.equal(2, descriptors(worker:pid(), "titan-arena"))
  end))

  it("may be an item, also of more than the window", managed(function(pm)
    local worker = pm:spawn(WORKER)
    for _, len in ipairs { 100 * KIB, MIB, 6 * MIB } do
      local seen = 0
      for i, text in worker:series(8, len) do
        assert.is_true(text == string.char(i):rep(len))
        seen = seen + 1
        if i == 2 then
          titan.sleep(5) -- so that some are kept
        end
      end
      assert.equal(8, seen)
    end
    do
      local next_item, state, control, _ <close> = worker:series(8, MIB) -- left early
      assert.equal(1, (next_item(state, control)))
      titan.sleep(5)
    end
    assert.equal(1, worker:echo(1))
  end))
end)
