local expect = require "support.expect"
local file = require "titan.store.file"
local luv = require "luv"
local proc = require "support.proc"
local program = require "support.program"
local titan = require "titan"

--- A test body that has a path for a store, in a directory that is gone afterwards.
---@param fn fun(path: string)
---@return fun() test
local function with_path(fn)
  return function()
    local directory = assert(luv.fs_mkdtemp "/tmp/titan-store-XXXXXX")
    local ok, err = pcall(titan.run, fn, directory .. "/store.db")
    for name in luv.fs_scandir_next, assert(luv.fs_scandir(directory)) do
      os.remove(directory .. "/" .. name)
    end
    assert(os.remove(directory))
    assert(ok, err)
  end
end

--- The same, with an open store.
---@param options? table
---@param fn fun(store: titan.store.File, path: string)
---@return fun() test
local function with_store(options, fn)
  if not fn then
    options, fn = {}, options
  end
  return with_path(function(path)
    options.path = path
    local store = file.open(options)
    local ok, err = pcall(fn, store, path)
    store:close()
    assert(ok, err)
  end)
end

--- Runs a program with `file` and `path`.
---@param path string
---@param source string
local function run(path, source)
  return program.run(string.format('local file, path = require "titan.store.file", %q\n%s', path,
    source))
end

describe("a store in a file", function()
  it("keeps values under keys, whatever their bytes", with_store(function(store)
    local key, value = "k\0\255", "\0v\n\0"
    assert.is_nil(store:get(key))
    store:put(key, "before")
    store:put(key, value)
    store:put("empty", "")
    assert.equal(value, store:get(key))
    assert.equal("", store:get "empty")
    assert.is_nil(store:get "k")
    assert.is_true(store:remove(key))
    assert.is_false(store:remove(key))
    assert.is_nil(store:get(key))
  end))

  it("puts what is new, and tells what is there already", with_store(function(store)
    assert.same({ true }, { store:put_new("a", "1") })
    assert.same({ false, "1" }, { store:put_new("a", "2") })
    assert.equal("1", store:get "a")
  end))

  it("lets one of many tasks be the first", with_store(function(store)
    local firsts, tasks = 0, {}
    for i = 1, 100 do
      tasks[i] = titan.go(function()
        if store:put_new("a", tostring(i)) then
          firsts = firsts + 1
        end
        store:put("own " .. i, tostring(i))
        return store:get("own " .. i)
      end)
    end
    for i, task in ipairs(tasks) do
      assert.equal(tostring(i), task:await())
    end
    assert.equal(1, firsts)
  end))

  it("forgets what has had its time", with_store(function(store)
    store:put("gone", "1", 0)
    store:put("soon", "1", 1)
    store:put("late", "1", 3600000)
    assert.is_nil(store:get "gone")
    proc.await("the end of its time", function()
      return store:get "soon" == nil
    end)
    assert.is_true((store:put_new("soon", "2", 3600000)))
    assert.equal("1", store:get "late")
  end))

  it("refuses a time that is negative", with_store(function(store)
    expect.complaint("a time is not negative", store.put, store, "a", "1", -1)
  end))

  it("has everything again when it is opened again", with_path(function(path)
    for i = 1, 3 do
      local store = file.open { path = path, sync = i == 2 and "normal" or "full" }
      assert.equal(i == 1, (store:put_new("a", "1")))
      store:close()
    end
  end))

  for _, sync in ipairs { "full", "normal" } do
    it("has what was put when its program is killed, with sync " .. sync, with_path(function(path)
      local result = run(path, string.format([[
        local store = file.open { path = path, sync = %q }
        for i = 1, 20 do
          titan.go(store.put_new, store, "key " .. i, "value")
        end
        store:put("last", "1")
        local luv = require "luv"
        luv.kill(luv.os_getpid(), "sigkill")]], sync))
      assert.equal(137, result.code, result.stderr)
      local store = file.open { path = path }
      assert.equal("1", store:get "last")
      assert.equal("value", store:get "key 1")
      assert.equal("value", store:get "key 20")
      store:close()
    end))
  end

  it("has what a program that ends has asked for", with_path(function(path)
    local result = run(path, 'local store = file.open { path = path }\n'
      .. 'titan.go(store.put, store, "a", "1"):cancel()')
    assert.equal(0, result.code, result.stderr)
    local store = file.open { path = path }
    assert.equal("1", store:get "a")
    store:close()
  end))
end)

describe("a task that waits for a store", function()
  it("is given up at once when it is cancelled, and what it asked for is done",
    with_store(function(store)
      local put = titan.go(store.put, store, "a", "1")
      put:cancel()
      expect.error("cancelled", put.await, put)
      assert.equal("1", store:get "a")
    end))

  it("is told that too many wait", with_store({ max_waiting = 2 }, function(store)
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = titan.go(store.put, store, "a", tostring(i))
    end
    expect.part("is behind", expect.error("overloaded", tasks[3].await, tasks[3]).message)
    tasks[1]:await()
    tasks[2]:await()
    assert.equal("2", store:get "a")
  end))

  it("must not be resumed by hand", with_store(function(store)
    local co = coroutine.create(function()
      store:get "a"
    end)
    expect.part("this function waits", select(2, coroutine.resume(co)))
  end))
end)

describe("closing a store", function()
  it("finishes what is under way, and is done once", with_path(function(path)
    local store = file.open { path = path }
    local put = titan.go(store.put, store, "a", "1")
    store:close()
    store:close()
    put:await()
    local err = expect.error("destroyed", store.get, store, "a")
    expect.part({ path, "is closed" }, err.message)
    store = file.open { path = path }
    assert.equal("1", store:get "a")
    store:close()
  end))

  it("happens by itself when nobody has it any more", with_path(function(path)
    local store = file.open { path = path }
    store:put("a", "1")
    store = nil -- luacheck: ignore 311
    collectgarbage()
    store = file.open { path = path }
    assert.equal("1", store:get "a")
    store:close()
  end))

  it("leaves no descriptor open", with_path(function(path)
    file.open { path = path }:close()
    local before = proc.fds()
    for _ = 1, 3 do
      file.open { path = path }:close()
      pcall(file.open, { path = path .. "/no" })
    end
    collectgarbage()
    proc.await("as many descriptors as before", function()
      return proc.fds() == before
    end)
  end))
end)

describe("opening a store", function()
  it("is refused while another has the file, in this process or another",
    with_store(function(_, path)
      local err = expect.error("overloaded", file.open, { path = path, busy_timeout = 0 })
      expect.part({ path, "one manager at a time" }, err.message)
      assert.is_true(err.retryable)
      local result = run(path, "file.open { path = path, busy_timeout = 0 }")
      assert.equal(1, result.code)
      expect.part("overloaded: the store " .. path, result.stderr)
    end))

  it("waits for whoever has it", with_path(function(path)
    local first = file.open { path = path }
    local second = titan.go(file.open, { path = path, busy_timeout = "1m" })
    first:put("a", "1")
    first:close()
    local store = second:await()
    assert.equal("1", store:get "a")
    store:close()
  end))

  it("says what is wrong with the path", with_path(function(path)
    local err = expect.error("invalid_config", file.open, { path = path .. "/store.db" })
    expect.part({ path, "its directory must be there" }, err.message)
    err = expect.error("invalid_config", file.open, { path = "/tmp" })
    expect.part("the store /tmp is a directory", err.message)
    local garbage = assert(io.open(path, "wb"))
    garbage:write(("garbage"):rep(1000))
    garbage:close()
    err = expect.error("invalid_config", file.open, { path = path })
    expect.part({ path, "name another path" }, err.message)
  end))

  local mistakes = {
    { {}, "store.path" },
    { { path = "" }, "store.path" },
    { { path = "a\0b" }, "store.path" },
    { { path = "a", sync = "off" }, "store.sync" },
    { { path = "a", busy_timeout = "2h" }, "store.busy_timeout" },
    { { path = "a", max_waiting = 0 }, "store.max_waiting" },
    { { path = "a", max_waiting_bytes = "1GB" }, "store.max_waiting_bytes" },
    { { path = "a", sweep_interval = 0 }, "store.sweep_interval" },
    { { path = "a", ttl = 1 }, "store.ttl" },
  }
  for i, mistake in ipairs(mistakes) do
    it("refuses a mistake in " .. mistake[2] .. ", number " .. i, function()
      local err = expect.error("invalid_config", file.open, mistake[1])
      expect.part(mistake[2] .. ":", err.message)
    end)
  end
end)
