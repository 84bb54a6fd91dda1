local expect = require "support.expect"
local managed = require "support.managed"
local titan = require "titan"

describe("proxy.async", function()
  it("gives a future of the call", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    local one, two = worker.async:echo(1, nil, "three"), worker.async:echo()
    assert.is_false(one:done())
    assert.same({ 1, nil, "three", n = 3 }, table.pack(one:await()))
    assert.is_true(one:done())
    assert.same({ n = 0 }, table.pack(two:await()))
    assert.same({ 1, nil, "three", n = 3 }, table.pack(one:await()))
  end))

  it("makes its calls at once, in order", managed(function(pm)
    local worker, futures = pm:spawn "workers.echo", {}
    for i = 1, 10 do
      futures[i] = worker.async:calls()
    end
    for i = 10, 1, -1 do
      assert.equal(i, futures[i]:await())
    end
  end))

  it("raises in await, not before", managed(function(pm)
    local worker = pm:spawn "workers.visible"
    for name, code in pairs {
      preposterous = "method_not_found", secret = "not_public", add = "remote_error",
    } do
      local future = worker.async[name](worker.async)
      expect.error(code, future.await, future)
    end
  end))

  it("goes with a timeout of its own", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    local future = worker:with({ timeout = "50ms" }).async:pass()
    assert.equal("no answer within 50 ms", expect.error("timeout", future.await, future).message)
  end))
end)

describe("proxy:with", function()
  it("takes any duration, or false", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    for _, timeout in ipairs { 5000, 2500.5, "5s", "1m", false } do
      assert.equal(1, worker:with({ timeout = timeout }):echo(1))
    end
    assert.equal(1, worker:with({}):echo(1))
  end))

  it("can be said again, of what it gave", managed(function(pm)
    local worker = pm:spawn "workers.gate"
    local patient = worker:with { timeout = "1h" }
    local hasty = patient:with { timeout = "50ms" }
    assert.equal("no answer within 50 ms", expect.error("timeout", hasty.pass, hasty).message)
    local same = hasty:with {}
    assert.equal("no answer within 50 ms", expect.error("timeout", same.pass, same).message)
  end))

  local mistakes = {
    [{ timout = 5 }] = 'with.timout: unknown key; did you mean "timeout"?',
    [{ preposterous = 5 }] = "with.preposterous: unknown key; allowed: headers, idempotency_key, "
      .. "key, priority and timeout",
    [{ timeout = 0 }] = "with.timeout: ",
    [{ timeout = true }] = "with.timeout: ",
    [{ timeout = "soon" }] = "with.timeout: ",
    [{ timeout = -5 }] = "with.timeout: ",
    [{ priority = 5 }] = "with.priority: it is for pools",
    [{ headers = { a = 1 } }] = "with.headers.a: expected a string, given number 1",
    [{ headers = "a" }] = "with.headers: ",
    [{ idempotency_key = "" }] = "with.idempotency_key: ",
  }
  for options, why in pairs(mistakes) do
    it("refuses " .. why, managed(function(pm)
      local worker = pm:spawn "workers.echo"
      local err = expect.error("invalid_config", worker.with, worker, options)
      assert.equal(why, err.message:sub(1, #why))
      assert.equal(why:match "^[%w._]+", err.details.path)
    end))
  end

  it("refuses what is no table", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    expect.part("with: expected a table",
      expect.error("invalid_config", worker.with, worker, "50ms").message)
  end))

  it("gives with a key alone what else it gives, too", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    local keyed, other = worker:with { idempotency_key = "k" }, pm:spawn "workers.echo"
    assert.equal(1, keyed:echo(1))
    assert.equal(keyed.echo, worker:with({ idempotency_key = "l" }).echo)
    assert.equal(worker:__id(), keyed:__id())
    assert.equal(tostring(worker), tostring(keyed))
    for _, given in ipairs { worker, other, other:with { idempotency_key = "k" }, {}, "text" } do
      expect.part("call the method with a colon", select(2, pcall(keyed.echo, given)))
    end
    expect.part("call the method with a colon", select(2, pcall(worker.echo, keyed)))
    expect.error("method_not_found", keyed.ecko, keyed)
    expect.error("invalid_config", function()
      keyed.name = "another"
    end)
    assert.is_nil(keyed[2])
  end))
end)

describe("a proxy", function()
  it("knows its process", managed(function(pm)
    local worker = pm:spawn("workers.echo", { name = "parrot" })
    local id = worker:__id()
    assert.equal("parrot", pm:get_process_info(id).name)
    assert.equal(id, pm:get_process_info("parrot").id)
    assert.equal(id, worker:with({ timeout = 5 }):__id())
    assert.equal(id, worker.async:__id():await())
    assert.are_not.equal(id, (pm:spawn "workers.echo"):__id())
  end))

  it("can end its process", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    local echo, id = worker.echo, worker:__id()
    assert.is_true(worker:__destroy())
    assert.equal("stopped", pm:get_process_info(id).status)
    for _, proxy in ipairs { worker, worker:with { timeout = 5 } } do
      local err = expect.error("destroyed", proxy.echo, proxy, 1)
      assert.equal("the worker has been stopped", err.message)
      assert.equal("echo", err.process)
      assert.equal("echo", err.method)
      assert.is_false(err.retryable)
    end
    expect.error("destroyed", echo, worker, 1)
    expect.error("destroyed", worker.length, worker, "never called before")
    assert.is_nil(pm:discover "echo")
    assert.equal(id, worker:__id())
  end))

  it("ends its process only once", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    assert.is_true(worker:__destroy())
    local ok, err = worker:__destroy()
    assert.is_nil(ok)
    assert.equal("destroyed", err.code)
  end))

  it("is not about another process of the same name", managed(function(pm)
    local first = pm:spawn("workers.echo", { name = "parrot" })
    first:__destroy()
    local second = pm:spawn("workers.echo", { name = "parrot" })
    assert.equal(1, second:calls())
    expect.error("destroyed", first.calls, first)
    assert.is_nil(first:__destroy())
    assert.equal(2, second:calls())
  end))

  it("has a text", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    assert.equal("titan service echo (running)", tostring(worker))
    assert.equal("titan service echo (running).async", tostring(worker.async))
    worker:__destroy()
    assert.equal("titan service echo (stopped)", tostring(worker))
  end))

  it("cannot be written to", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    for _, proxy in ipairs { worker, worker.async, worker:with { timeout = 5 } } do
      local err = expect.error("invalid_config", function()
        proxy.cache = {}
      end)
      assert.equal("a proxy cannot be written to: its methods are the worker's", err.message)
    end
  end))

  it("keeps its methods from their first use on", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    assert.is_nil(rawget(worker, "echo"))
    local echo = worker.echo
    assert.equal(echo, rawget(worker, "echo"))
    assert.equal(echo, worker.echo)
    local async = worker.async
    assert.equal(async, worker.async)
    assert.equal(async.echo, rawget(async, "echo"))
  end))

  it("does not keep what is no method", managed(function(pm)
    local worker = pm:spawn "workers.visible"
    expect.error("method_not_found", worker.preposterous, worker)
    expect.error("not_public", worker.secret, worker)
    assert.is_nil(rawget(worker, "preposterous"))
    assert.is_nil(rawget(worker, "secret"))
    local future = worker.async:preposterous()
    expect.error("method_not_found", future.await, future)
    assert.is_nil(rawget(worker.async, "preposterous"))
  end))

  it("has nothing under what is no name", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    assert.is_nil(worker[1])
    assert.is_nil(worker[true])
  end))

  it("is the same for each that discovers it", managed(function(pm)
    local worker = pm:spawn "workers.echo"
    assert.equal(worker, pm:discover "echo")
    assert.equal(worker, pm:discover(worker:__id()))
  end))

  it("may be used by many tasks", managed(function(pm)
    local worker, futures = pm:spawn "workers.echo", {}
    for i = 1, 50 do
      futures[i] = titan.go(worker.echo, worker, i)
    end
    for i, result in ipairs(titan.all(futures)) do
      assert.equal(i, result)
    end
  end))
end)
