local core = require "titan.core"
local expect = require "support.expect"
local memory = require "titan.store.memory"
local titan = require "titan"

-- A store whose time is moved by hand.
local function timed(options)
  local time = { now = 1000 }
  options = options or {}
  options.clock = function()
    return time.now
  end
  return memory.new(options), time
end

-- As many as are let through at this moment.
local function burst_of(store, key, limit)
  local count = 0
  while store:take(key, limit) do
    count = count + 1
  end
  return count
end

local function in_a_run(fn)
  return function()
    titan.run(fn)
  end
end

-- A task that claims and notes in `log` what it got; what it gets it keeps until told.
local function claimer(store, name, log, how)
  how = how or {}
  return titan.go(function()
    local state, value = store:claim("k", how.wait, how.owner, how.token)
    table.insert(log, name .. " " .. state .. (value and " " .. value or ""))
    if how.hold then
      core.park()
    end
    return state, value
  end)
end

-- Lets every task that can go on do so.
local function settle_down()
  for _ = 1, 3 do
    titan.sleep(0)
  end
end

describe("a value", function()
  it("is kept until it is removed", function()
    local store = timed()
    assert.is_nil(store:get "k")
    store:put("k", "one")
    store:put("", "empty\0key")
    assert.equal("one", store:get "k")
    store:put("k", "two")
    assert.equal("two", store:get "k")
    assert.equal("empty\0key", store:get "")
    store:remove "k"
    store:remove "k"
    assert.is_nil(store:get "k")
    assert.equal(1, store:count())
  end)

  it("is kept for its time to live", function()
    local store, time = timed()
    store:put("k", "v", 50)
    time.now = 1049
    assert.equal("v", store:get "k")
    time.now = 1050
    assert.is_nil(store:get "k")
    assert.equal(0, store:count())
    store:put("k", "v", 50)
    time.now = 1099
    store:put("k", "again", 50)
    time.now = 1148
    assert.equal("again", store:get "k")
    store:put("k", "for good")
    time.now = 1e9
    assert.equal("for good", store:get "k")
  end)

  it("that has expired goes without being asked for", function()
    local store, time = timed()
    for i = 1, 1000 do
      store:put("short " .. i, i, 10)
    end
    store:put("long", "v")
    time.now = 2000
    for i = 1, 1001 do
      store:put("new " .. i, i)
    end
    assert.equal(1002, store:count())
    assert.equal("v", store:get "long")
  end)

  it("gives way when there are too many, the one not used for longest first", function()
    local store = timed { max_entries = 3 }
    for _, key in ipairs { "a", "b", "c" } do
      store:put(key, key)
    end
    store:get "a"
    store:put("d", "d")
    assert.is_nil(store:get "b")
    store:put("c", "C")
    store:put("e", "e")
    assert.is_nil(store:get "a")
    assert.same({ "C", "d", "e" }, { store:get "c", store:get "d", store:get "e" })
    assert.equal(3, store:count())
  end)

  it("agrees with a plain list in any order of uses", function()
    local store = timed { max_entries = 20 }
    local model, random = {}, 3 -- the model: keys, the newest last
    local function place_of(key)
      for i, known in ipairs(model) do
        if known == key then
          return i
        end
      end
    end
    for _ = 1, 5000 do
      random = (random * 1103515245 + 12345) & 0x7FFFFFFF
      local key, what = "k" .. (random >> 8) % 40, (random >> 16) % 4
      local place = place_of(key)
      if place then
        table.remove(model, place)
      end
      if what == 0 then
        store:remove(key)
      elseif what == 1 then
        assert.equal(place and key or nil, store:get(key))
        model[#model + 1] = place and key or nil
      else
        store:put(key, key)
        model[#model + 1] = key
        if #model > 20 then
          table.remove(model, 1)
        end
      end
      assert.equal(#model, store:count())
    end
    for _, key in ipairs(model) do
      assert.equal(key, store:get(key))
    end
  end)
end)

describe("a claim", function()
  it("is given once, and settled for all that wait", in_a_run(function()
    local store, log = timed(), {}
    assert.same({ "mine" }, { store:claim "k" })
    assert.is_nil(store:get "k")
    local futures = { claimer(store, "a", log), claimer(store, "b", log) }
    store:settle("k", "v", 10)
    titan.all(futures)
    assert.same({ "a done v", "b done v" }, log)
    assert.same({ "done", "v" }, { store:claim "k" })
    assert.equal(1, store:count())
  end))

  it("can be settled with what is for those who wait alone", in_a_run(function()
    local store, log = timed(), {}
    store:claim "k"
    local future = claimer(store, "a", log)
    store:settle("k", "v", 0)
    assert.same({ "done", "v" }, { future:await() })
    assert.equal(0, store:count())
  end))

  it("that is abandoned goes to one at a time, in the order they came", in_a_run(function()
    local store, log = timed(), {}
    store:claim "k"
    local futures = {}
    for i = 1, 4 do
      futures[i] = claimer(store, i, log)
    end
    for i = 1, 3 do
      store:abandon "k"
      futures[i]:await()
      settle_down()
      assert.equal(i, #log)
    end
    store:settle("k", "v")
    titan.all(futures)
    assert.same({ "1 mine", "2 mine", "3 mine", "4 done v" }, log)
  end))

  it("that is abandoned with an error raises it in all that wait now", in_a_run(function()
    local store, log = timed(), {}
    store:claim "k"
    local futures = { claimer(store, 1, log), claimer(store, 2, log) }
    store:abandon("k", "broken")
    for _, future in ipairs(futures) do
      assert.same({ false, "broken" }, { pcall(future.await, future) })
    end
    assert.same({ "mine" }, { store:claim "k" })
    store:abandon "k"
    store:abandon "k"
    assert.equal(0, store:count())
  end))

  it("is not for one who no longer waits", in_a_run(function()
    local store, log = timed(), {}
    store:claim "k"
    local futures = {}
    for i = 1, 5 do
      futures[i] = claimer(store, i, log)
    end
    for _, i in ipairs { 1, 3, 5 } do
      assert.is_true(futures[i]:cancel())
    end
    settle_down()
    store:abandon "k"
    futures[2]:await()
    store:abandon "k"
    futures[4]:await()
    store:abandon "k"
    assert.same({ "2 mine", "4 mine" }, log)
    assert.equal(0, store:count())
  end))

  it("is passed on by one who is cancelled as it gets it", in_a_run(function()
    local store, log = timed(), {}
    store:claim "k"
    local first, second = claimer(store, 1, log), claimer(store, 2, log)
    store:abandon "k"
    first:cancel()
    second:await()
    assert.same({ "2 mine" }, log)
    local third = claimer(store, 3, log)
    store:abandon "k"
    third:cancel()
    settle_down()
    assert.equal(0, store:count())
  end))

  it("is waited for no longer than was said", in_a_run(function()
    local store, log = timed(), {}
    store:claim "k"
    local err = expect.error("timeout", store.claim, store, "k", 5)
    assert.equal("waited 5 ms for a call with the same key, which still runs", err.message)
    expect.error("timeout", store.claim, store, "k", 0)
    local behind = claimer(store, "behind", log)
    store:abandon "k"
    behind:await()
    assert.same({ "behind mine" }, log)
  end))

  it("that was passed on twice at once is not taken from whom it went to", in_a_run(function()
    local store, log = timed(), {}
    store:claim("k", nil, "a", 1)
    local lost = claimer(store, "lost", log, { owner = "gone", token = 1 })
    local next_one = claimer(store, "next", log, { owner = "b", token = 1, hold = true })
    local last = claimer(store, "last", log, { owner = "c", token = 1 })
    store:abandon("k", nil, "a", 1)
    store:abandon_all "gone"
    lost:cancel()
    settle_down()
    assert.same({ "next mine" }, log)
    store:abandon("k", nil, "b", 1)
    last:await()
    assert.same({ "next mine", "last mine" }, log)
    next_one:cancel()
  end))

  it("of an owner that is gone goes to the next that is not", in_a_run(function()
    local store, log = timed(), {}
    store:claim("k", nil, "gone", 1)
    store:claim("other", nil, "gone", 2)
    local lost = claimer(store, "lost", log, { owner = "gone" })
    local alive = claimer(store, "alive", log, { owner = "alive" })
    store:abandon_all "gone"
    expect.error("worker_lost", lost.await, lost)
    alive:await()
    assert.same({ "alive mine" }, log)
    assert.equal(1, store:count())
  end))

  it("is ended by whom it belongs to alone", in_a_run(function()
    local store = timed()
    store:claim("k", nil, "a", 1)
    store:abandon("k", nil, "b", 1)
    store:abandon("k", nil, "a", 2)
    assert.equal(1, store:count())
    store:settle("k", "late", nil, "a", 2)
    assert.equal("late", store:get "k")
    assert.equal(2, store:count())
    store:abandon("k", nil, "a", 1)
    assert.equal(1, store:count())
  end))

  it("does not give way: a store full of claims says so", in_a_run(function()
    local store = timed { max_entries = 2 }
    store:put("value", "v")
    store:claim "a"
    store:claim "b"
    assert.is_nil(store:get "value")
    local err = expect.error("limit_exceeded", store.claim, store, "c")
    assert.equal("the store is full: max_entries = 2, and all of them are claims of calls that "
      .. "run (2) or limits in use (0)", err.message)
    expect.error("limit_exceeded", store.put, store, "c", "v")
    store:settle("a", "A")
    assert.same({ "mine" }, { store:claim "c" })
  end))

  it("ends with its store", in_a_run(function()
    local store, log = timed(), {}
    store:claim "k"
    local waits = claimer(store, 1, log)
    store:close()
    expect.error("shutting_down", waits.await, waits)
    store:abandon "k"
    assert.equal(0, store:count())
  end))
end)

describe("a limit", function()
  local function limit(strategy, rps, burst)
    return { strategy = strategy, rps = rps, burst = burst }
  end
  local strategies = { "token_bucket", "sliding_window", "fixed_window" }

  for _, strategy in ipairs(strategies) do
    describe("of " .. strategy, function()
      it("lets a burst through, and says when there will be more", function()
        for _, case in ipairs { { 10, 5 }, { 0.1, 1 }, { 3, 7 }, { 1e6, 1 }, { 1.5, 2 } } do
          local store, time = timed()
          local l = limit(strategy, case[1], case[2])
          assert.equal(l.burst, burst_of(store, "k", l))
          local ok, after = store:take("k", l)
          assert.is_false(ok)
          assert.truthy(after > 0 and after <= l.burst * 1000 / l.rps + 1e-6)
          time.now = time.now + after * 0.9
          assert.is_false((store:take("k", l)))
          time.now = time.now + after * 0.1
          assert.is_true((store:take("k", l)))
        end
      end)

      it("lets rps through in the long run, whatever the steps", function()
        local store, time = timed()
        local l, count, random = limit(strategy, 25, 10), 0, 11
        for _ = 1, 4000 do
          random = (random * 1103515245 + 12345) & 0x7FFFFFFF
          time.now = time.now + (random >> 8) % 50
          while store:take("k", l) do
            count = count + 1
          end
        end
        local seconds = (time.now - 1000) / 1000
        assert.truthy(count <= seconds * 25 + 10)
        assert.truthy(count >= seconds * 25 * 0.93, count / seconds)
      end)

      it("keeps keys apart, and forgets those that are at rest", function()
        local store, time = timed()
        local l = limit(strategy, 10, 2)
        for i = 1, 100 do
          assert.equal(2, burst_of(store, "k" .. i, l))
        end
        assert.equal(100, store:count())
        time.now = time.now + 200
        for _ = 1, 60 do
          store:take("one", l)
        end
        assert.equal(1, store:count())
      end)

      it("gives nobody more when the clock jumps back, and gives again later", function()
        local store, time = timed()
        local l = limit(strategy, 10, 4)
        burst_of(store, "k", l)
        time.now = 500
        local ok, after = store:take("k", l)
        assert.is_false(ok)
        assert.truthy(after > 400 and after < 1000)
        for _ = 1, 10 do
          time.now = 1000
          assert.equal(0, burst_of(store, "k", l))
          time.now = 900
          assert.equal(0, burst_of(store, "k", l))
        end
        time.now = 1400
        assert.equal(4, burst_of(store, "k", l))
      end)

      it("that is another begins anew", function()
        local store = timed()
        assert.equal(2, burst_of(store, "k", limit(strategy, 1, 2)))
        assert.equal(3, burst_of(store, "k", limit(strategy, 1, 3)))
        assert.equal(1, store:count())
      end)
    end)
  end

  it("of token_bucket gives back one after the other", function()
    local store, time = timed()
    local l = limit("token_bucket", 10, 3)
    assert.equal(3, burst_of(store, "k", l))
    time.now = time.now + 99
    assert.equal(0, burst_of(store, "k", l))
    time.now = time.now + 1
    assert.equal(1, burst_of(store, "k", l))
    time.now = time.now + 250
    assert.equal(2, burst_of(store, "k", l))
    time.now = time.now + 50
    assert.equal(1, burst_of(store, "k", l))
    time.now = time.now + 1e7
    assert.equal(3, burst_of(store, "k", l))
  end)

  it("of sliding_window lets no more than burst through in any window", function()
    local store, time = timed()
    local l, taken, random = limit("sliding_window", 20, 6), {}, 5 -- a window of 300 ms
    for _ = 1, 3000 do
      random = (random * 1103515245 + 12345) & 0x7FFFFFFF
      time.now = time.now + (random >> 8) % 40
      if store:take("k", l) then
        taken[#taken + 1] = time.now
      end
    end
    for i = 7, #taken do
      assert.truthy(taken[i] - taken[i - 6] >= 300)
    end
    assert.truthy(#taken > 500)
  end)

  it("of fixed_window begins a window with the first call", function()
    local store, time = timed()
    local l = limit("fixed_window", 10, 4)
    time.now = 1390
    assert.is_true((store:take("k", l)))
    time.now = 1789
    assert.equal(3, burst_of(store, "k", l))
    time.now = 1790
    assert.equal(4, burst_of(store, "k", l))
    assert.same({ false, 400 }, { store:take("k", l) })
  end)

  it("does not give way to values", in_a_run(function()
    local store, time = timed { max_entries = 2 }
    local l = limit("token_bucket", 10, 1)
    store:take("a", l)
    store:put("v", "v")
    store:take("b", l)
    assert.is_nil(store:get "v")
    expect.error("limit_exceeded", store.take, store, "c", l)
    time.now = time.now + 100
    assert.is_true((store:take("c", l)))
  end))
end)

-- A file that is not one: what is durable in it is a table, and it can be told to fail.
local function fake_file()
  local file = { content = {}, reads = 0 }
  function file:get(key)
    self.reads = self.reads + 1
    titan.sleep(0)
    return self.content[key]
  end
  function file:put(key, value)
    self.content[key] = value
  end
  function file:put_new(key, value)
    titan.sleep(0)
    if self.broken then
      error "disk full"
    end
    local there = self.content[key]
    self.content[key] = there or value
    return not there, there
  end
  function file:remove(key)
    self.content[key] = nil
  end
  function file.close()
  end
  return file
end

describe("a durable store", function()
  local durable = require "titan.store.durable"

  local function open(file)
    return durable.new(memory.new(), file, "space")
  end

  it("has its values in the file", in_a_run(function()
    local file = fake_file()
    local store = open(file)
    store:put("a", "A")
    assert.same({ "mine" }, { store:claim "b" })
    store:settle("b", "B")
    local again = open(file)
    assert.equal("A", again:get "a")
    assert.same({ "done", "B" }, { again:claim "b" })
    assert.is_nil(durable.new(memory.new(), file, "other"):get "a")
    again:remove "a"
    assert.is_nil(store:get "a")
  end))

  it("asks the file once for all that wait", in_a_run(function()
    local file = fake_file()
    open(file):put("k", "v")
    local store, log = open(file), {}
    titan.all { claimer(store, 1, log), claimer(store, 2, log), claimer(store, 3, log) }
    assert.same({ "1 done v", "2 done v", "3 done v" }, log)
    assert.equal(1, file.reads)
  end))

  it("gives everybody the first answer that was recorded", in_a_run(function()
    local file = fake_file()
    local store, log = open(file), {}
    store:claim "k"
    local waits = claimer(store, 1, log)
    open(file):put("k", "first")
    store:settle("k", "second")
    waits:await()
    assert.same({ "1 done first" }, log)
  end))

  it("passes a claim on when the file fails", in_a_run(function()
    local file = fake_file()
    local store, log = open(file), {}
    store:claim "k"
    local waits = claimer(store, 1, log)
    file.broken = true
    expect.complaint("disk full", store.settle, store, "k", "v")
    waits:await()
    assert.same({ "1 mine" }, log)
    function file.get()
      error "disk gone"
    end
    store:abandon "k"
    expect.complaint("disk gone", store.claim, store, "k")
    expect.complaint("disk gone", store.claim, store, "k", 0)
  end))
end)

describe("the stores of a manager", function()
  local shared = require "titan.store.shared"

  local function service()
    local manager = { stores = shared.new { kind = "memory", path = "titan.db" } }
    return function(operation, owner, ...)
      return shared.service[operation](manager, owner, ...)
    end, manager.stores
  end

  it("are shared by kind and space", in_a_run(function()
    local ask = service()
    ask("put", "a", "manager", "one", nil, "k", "v")
    assert.equal("v", ask("get", "b", "manager", "one", nil, "k"))
    assert.is_nil(ask("get", "b", "manager", "two", nil, "k"))
    ask("remove", "b", "manager", "one", nil, "k")
    assert.is_nil(ask("get", "a", "manager", "one", nil, "k"))
    ask("put", "a", "manager", "small", 1, "k", "v")
    ask("put", "a", "manager", "small", 1, "l", "v")
    assert.is_nil(ask("get", "b", "manager", "small", 1, "k"))
    assert.is_true(ask("take", "a", "manager", "one", nil, "k", "token_bucket", 1, 1))
    assert.is_false((ask("take", "b", "manager", "one", nil, "k", "token_bucket", 1, 1)))
  end))

  it("pass the claims of a process that has ended on", in_a_run(function()
    local ask, stores = service()
    assert.equal("mine", ask("claim", "a", "manager", "one", nil, "k", 1))
    local waits = titan.go(ask, "claim", "b", "manager", "one", nil, "k", 1)
    ask("abandon", "b", "manager", "one", nil, "k", 1)
    assert.is_false(waits:done())
    stores:abandon_all "a"
    assert.equal("mine", waits:await())
    ask("settle", "b", "manager", "one", nil, "k", 1, "v", 0)
    assert.is_nil(ask("get", "b", "manager", "one", nil, "k"))
    ask("claim", "a", "manager", "one", nil, "k", 2)
    waits = titan.go(ask, "claim", "b", "manager", "one", nil, "k", 2)
    ask("abandon", "a", "manager", "one", nil, "k", 2, { code = "overloaded", message = "no" })
    assert.equal("no", expect.error("overloaded", waits.await, waits).message)
  end))

  it("open their file once, and again after it could not be opened", in_a_run(function()
    local durable = require "titan.store.durable"
    local ask, stores = service()
    local file, opened = fake_file(), 0
    local open_file = durable.open_file
    finally(function()
      durable.open_file = open_file
    end)
    function durable.open_file()
      opened = opened + 1
      titan.sleep(0)
      return opened > 1 and file or error "no such directory"
    end
    local function put(key)
      return titan.go(ask, "put", "a", "sqlite", "one", nil, key, "v")
    end
    local failing = { put "a", put "b" }
    for _, future in ipairs(failing) do
      expect.complaint("no such directory", future.await, future)
    end
    titan.all { put "c", put "d", titan.go(ask, "put", "a", "sqlite", "two", nil, "e", "v") }
    assert.equal(2, opened)
    assert.equal("v", ask("get", "b", "sqlite", "one", nil, "d"))
    assert.is_nil(ask("get", "b", "sqlite", "one", nil, "e"))
    function file.close()
      titan.sleep(1)
      file.closed = true
    end
    stores:close()
    assert.is_true(file.closed)
  end))

  it("refuse what makes no sense", in_a_run(function()
    local ask = service()
    for _, request in ipairs {
      { "get", "a", "disk", "one", nil, "k" }, { "get", "a", "manager", 5, nil, "k" },
      { "get", "a", "manager", "one", nil, {} }, { "put", "a", "manager", "one", nil, "k", 5 },
      { "put", "a", "manager", "one", nil, "k", "v", "1s" },
      { "claim", "a", "manager", "one", nil, "k" },
      { "claim", "a", "manager", "one", nil, "k", 1, "1s" },
      { "settle", "a", "manager", "one", nil, "k", 1 },
      { "take", "a", "manager", "one", nil, "k", "leaky", 1, 1 },
      { "take", "a", "manager", "one", nil, "k", "token_bucket", 0, 1 },
      { "take", "a", "manager", "one", nil, "k", "token_bucket", 1, 0 },
      { "take", "a", "manager", "one", nil, "k", "sliding_window", 1, 0.5 },
    } do
      expect.error("validation_failed", ask, table.unpack(request, 1, 9))
    end
  end))
end)
