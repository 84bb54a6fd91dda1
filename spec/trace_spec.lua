local collector = require "support.collector"
local expect = require "support.expect"
local titan = require "titan"

local TRACE <const> = "4bf92f3577b34da6a3ce929d0e0e4736"
local PARENT <const> = "00f067aa0ba902b7"

-- A test with a manager whose spans go to a collector of the test.
local function traced(options, fn)
  return function()
    titan.run(function()
      local server = collector.open()
      local tracing = { endpoint = server.endpoint, interval = 10 }
      for name, value in pairs(options) do
        tracing[name] = value
      end
      local pm = titan.manager {
        logs = { format = "none" }, restart_policy = { enabled = false },
        advanced = { spare_worker = false }, monitoring = { tracing = tracing },
      }
      local ok, err = xpcall(fn, debug.traceback, pm, server)
      pm:stop_all(0)
      server:close()
      assert(ok, err)
    end)
  end
end

local function with_parent(proxy, flags, tracestate)
  return proxy:with { headers = {
    traceparent = "00-" .. TRACE .. "-" .. PARENT .. "-" .. flags, tracestate = tracestate,
  } }
end

describe("a traced call", function()
  it("is a span of the kind SERVER, the first of its trace", traced({}, function(pm, server)
    local worker = pm:spawn("workers.traced", { name = "one" })
    local context = worker:context()
    local spans = server:await_spans(1)
    local span = spans["one/context"]
    assert.equal("00-" .. span.traceId .. "-" .. span.spanId .. "-01", context.traceparent)
    assert.is_nil(span.parentSpanId)
    assert.is_nil(span.status)
    assert.equal(2, span.kind)
    assert.equal("one", span.process)
    assert.same({ ["rpc.system"] = "titan", ["rpc.service"] = "one", ["rpc.method"] = "context" },
      span.attribute)
    assert.equal("titan", span.resource["service.name"])
    assert.equal(tostring(worker:pid()), span.resource["process.pid"])
    local now = os.time()
    local start = tonumber(span.startTimeUnixNano) // 1000000000
    assert.is_true(start >= now - 60 and start <= now + 1)
    assert.is_true(tonumber(span.endTimeUnixNano) >= tonumber(span.startTimeUnixNano))
  end))

  it("lasts as long as the method", traced({}, function(pm, server)
    pm:spawn("workers.traced"):sleep(20)
    local span = server:await_spans(1)["traced/sleep"]
    assert.is_true(span.endTimeUnixNano - span.startTimeUnixNano >= 20000000)
  end))

  it("has children of the kind INTERNAL in its own process", traced({}, function(pm, server)
    local worker = pm:spawn "workers.traced"
    local traceparent = worker:inside()
    local spans = server:await_spans(2)
    local outer, inner = spans["traced/inside"], spans["traced/leaf"]
    assert.equal(1, inner.kind)
    assert.equal(2, outer.kind)
    assert.equal(outer.spanId, inner.parentSpanId)
    assert.equal(outer.traceId, inner.traceId)
    assert.equal(0x101, inner.flags)
    assert.equal(outer.spanId, traceparent:sub(37, 52)) -- its own again after the child
  end))

  it("is of the kind INTERNAL when a method without trace calls it", traced({},
    function(pm, server)
      pm:spawn("workers.traced"):plain_inside()
      assert.equal(1, server:await_spans(1)["traced/leaf"].kind)
    end))

  it("has children over services, a pool and a method without trace", traced({},
    function(pm, server)
      pm:spawn("workers.traced", { name = "b" })
      pm:create_pool("workers.traced", { name = "pool", size = 2 })
      pm:spawn("workers.traced", { name = "a", dependencies = { "b", "pool" } })
        :travel { { "b", "pass" }, { "pool", "travel" }, { "b", "leaf" } }
      local spans = server:await_spans(3)
      local a, pool, b = spans["a/travel"], spans["pool/travel"], spans["b/leaf"]
      assert.equal(a.spanId, pool.parentSpanId)
      assert.equal(pool.spanId, b.parentSpanId)
      assert.same({ a.traceId, a.traceId }, { pool.traceId, b.traceId })
      assert.same({ 2, 2, 2 }, { a.kind, pool.kind, b.kind })
      assert.same({ 0x301, 0x301 }, { pool.flags, b.flags })
      assert.equal("pool", pool.attribute["rpc.service"])
      assert.truthy(pool.process:find "^pool.")
    end))

  it("has children in the tasks that it starts", traced({}, function(pm, server)
    pm:spawn("workers.traced"):fan_out()
    local spans, all = server:await_spans(3)
    for _, span in ipairs(all) do
      local is_root = span.name == "traced/fan_out"
      assert.equal(not is_root and spans["traced/fan_out"].spanId or nil, span.parentSpanId)
    end
  end))

  it("has children in coroutines of its own", traced({}, function(pm, server)
    pm:spawn("workers.traced"):in_coroutine()
    local spans = server:await_spans(2)
    assert.equal(spans["traced/in_coroutine"].spanId, spans["traced/leaf"].parentSpanId)
  end))

  it("has ids that no other has, in whatever worker", traced({}, function(pm, server)
    local workers = { pm:spawn "workers.traced", pm:spawn "workers.traced" }
    for _ = 1, 20 do
      for _, worker in ipairs(workers) do
        worker:leaf()
      end
    end
    local _, all = server:await_spans(40)
    local seen = {}
    for _, span in ipairs(all) do
      assert.is_nil(seen[span.traceId] or seen[span.spanId])
      seen[span.traceId], seen[span.spanId] = true, true
    end
  end))

  it("has a name and attributes that its method gives it", traced({}, function(pm, server)
    local worker = pm:spawn "workers.traced"
    worker:named()
    assert.same({ "x", 5 }, { worker:described("x", 5) })
    assert.same({ "x", nil, 5 }, { worker:badly_described("x", nil, 5) })
    local spans = server:await_spans(3)
    assert.equal("1", spans["a name"].attribute.static)
    local described, badly = spans["traced/described"], spans["traced/badly_described"]
    assert.equal("x", described.attribute.first)
    assert.equal("5", described.attribute.second)
    assert.equal(2, described.droppedAttributesCount)
    expect.part("attributes failed", badly.attribute["titan.attributes_error"])
  end))
end)

describe("a traced call that fails", function()
  it("has the status ERROR, with the error's code and message", traced({}, function(pm, server)
    local worker = pm:spawn "workers.traced"
    expect.error("remote_error", worker.fail, worker, "it failed")
    expect.error("invalid_config", worker.fail_with_code, worker)
    local spans = server:await_spans(2)
    local plain, coded = spans["traced/fail"], spans["traced/fail_with_code"]
    assert.same({ code = 2, message = "it failed" }, plain.status)
    assert.equal("remote_error", plain.attribute["error.type"])
    assert.equal("invalid_config", coded.attribute["error.type"])
    expect.part("titan.go: expected a function", coded.status.message)
  end))

  it("does not make its caller's fail that catches the error", traced({}, function(pm, server)
    assert.same({ false, true }, { pm:spawn("workers.traced"):catch() })
    local spans = server:await_spans(2)
    assert.equal("caught", spans["traced/fail"].status.message)
    assert.is_nil(spans["traced/catch"].status)
  end))
end)

describe("the trace that a caller gives", function()
  it("is gone on with", traced({ sample = 0 }, function(pm, server)
    local context = with_parent(pm:spawn "workers.traced", "01", "rojo=1,congo=2"):context()
    local span = server:await_spans(1)["traced/context"]
    assert.same({ TRACE, PARENT }, { span.traceId, span.parentSpanId })
    assert.equal("rojo=1,congo=2", span.traceState)
    assert.equal("rojo=1,congo=2", context.tracestate)
    assert.equal("00-" .. TRACE .. "-" .. span.spanId .. "-01", context.traceparent)
  end))

  it("is passed on as it is and not recorded when it is not sampled", traced({},
    function(pm, server)
      local worker = pm:spawn("workers.traced", { name = "a" })
      pm:spawn("workers.traced", { name = "b", dependencies = { "a" } })
      local context = with_parent(worker, "00", "rojo=1"):context()
      assert.equal("00-" .. TRACE .. "-" .. PARENT .. "-00", context.traceparent)
      assert.equal("rojo=1", context.tracestate)
      with_parent(pm:discover "b", "00"):travel { { "a", "travel" } }
      worker:named()
      local _, all = server:await_spans(1)
      assert.equal("a name", all[1].name)
      assert.equal(1, #all)
    end))

  it("is begun anew when it is malformed, without its tracestate", traced({},
    function(pm, server)
      local worker = pm:spawn "workers.traced"
      local headers = { traceparent = "00-" .. TRACE, tracestate = "a=1" }
      local context = worker:with({ headers = headers }):context()
      local span = server:await_spans(1)["traced/context"]
      assert.is_nil(span.parentSpanId)
      assert.not_equal(TRACE, span.traceId)
      assert.is_nil(context.tracestate)
    end))

  it("goes on without a tracestate that is malformed", traced({}, function(pm, server)
    local context = with_parent(pm:spawn "workers.traced", "01", "not one"):context()
    assert.equal(PARENT, server:await_spans(1)["traced/context"].parentSpanId)
    assert.is_nil(context.tracestate)
  end))

  it("leaves the headers of the call alone", traced({}, function(pm)
    local worker = pm:spawn "workers.traced"
    assert.same({ tenant = "x" }, worker:with({ headers = { tenant = "x" } }):context().headers)
  end))
end)

describe("sampling", function()
  it("records nothing at 0, and says so to those that are called", traced({ sample = 0 },
    function(pm, server)
      local worker = pm:spawn "workers.traced"
      assert.truthy(worker:context().traceparent:find "^00%-%x+%-%x+%-00$")
      worker:travel { { "traced", "leaf" } }
      pm:stop_all()
      assert.equal(0, #server.posts)
    end))

  it("decides once for a whole trace", traced({ sample = 0.5 }, function(pm, server)
    pm:spawn("workers.traced", { name = "b" })
    local a = pm:spawn("workers.traced", { name = "a", dependencies = { "b" } })
    for _ = 1, 40 do
      a:travel { { "b", "inside" } }
    end
    pm:stop_all()
    local counts, spans = {}, server:spans()
    for _, span in ipairs(spans) do
      counts[span.traceId] = (counts[span.traceId] or 0) + 1
      assert.is_true(tonumber(span.traceId:sub(17, 17), 16) < 8)
    end
    for _, count in pairs(counts) do
      assert.equal(3, count)
    end
    assert.is_true(#spans > 0 and #spans < 120)
  end))
end)

describe("without tracing", function()
  it("a method is left as it is, and its context is passed on", function()
    titan.run(function()
      local pm = titan.manager { logs = { format = "none" }, advanced = { spare_worker = false } }
      local worker = pm:spawn "workers.traced"
      assert.is_nil(pm:tracing())
      assert.is_nil(worker:context().traceparent)
      assert.equal("00-" .. TRACE .. "-" .. PARENT .. "-01",
        with_parent(worker, "01"):travel { { "traced", "leaf" } })
      assert.equal(5, titan.span("x", { a = 1 }, math.abs, -5))
      assert.equal(5, titan.span("x", math.abs, -5))
    end)
  end)
end)

describe("titan.span", function()
  it("is a span of one's own, in a method", traced({}, function(pm, server)
    assert.same({ 2, true }, { pm:spawn("workers.traced"):spans() })
    local spans = server:await_spans(4)
    local outer, inner = spans.outer, spans.inner
    assert.equal(spans["traced/spans"].spanId, outer.parentSpanId)
    assert.equal(outer.spanId, inner.parentSpanId)
    assert.equal(inner.spanId, spans["traced/leaf"].parentSpanId)
    assert.same({ a = "1" }, outer.attribute)
    assert.equal(1, outer.kind)
  end))

  it("begins a trace in the manager's program, of which its calls are a part", traced({},
    function(pm, server)
      local worker = pm:spawn "workers.traced"
      local err = expect.error("remote_error", titan.span, "job", function()
        worker:leaf()
        titan.go(worker.leaf, worker):await()
        worker:fail "it failed"
      end)
      assert.equal("it failed", err.message)
      local spans, all = server:await_spans(4)
      assert.equal("manager", spans.job.process)
      assert.equal("it failed", spans.job.status.message)
      for _, span in ipairs(all) do
        assert.equal(spans.job.traceId, span.traceId)
        assert.equal(span ~= spans.job and spans.job.spanId or nil, span.parentSpanId)
      end
      worker:leaf()
      local _, more = server:await_spans(5)
      assert.not_equal(spans.job.traceId, more[5].traceId)
    end))

  it("refuses what it cannot run", function()
    expect.error("invalid_config", titan.span, "", print)
    expect.error("invalid_config", titan.span, nil, print)
    expect.error("invalid_config", titan.span, "x")
    expect.error("invalid_config", titan.span, "x", { a = 1 })
  end)
end)

describe("the annotation trace", function()
  local function refused(value)
    return expect.error("invalid_config", titan.process, {
      name = "c", methods = { m = { trace = value, print } },
    }).message
  end

  it("is refused when it is not what it may be", function()
    assert.equal("c.methods.m.trace: expected true, false or a table, given number 5", refused(5))
    assert.equal('c.methods.m.trace.nam: unknown key; did you mean "name"?', refused { nam = "x" })
    assert.equal("c.methods.m.trace.attributes.a: expected a string, a number or a boolean, "
      .. "given table", refused { attributes = { a = {} } })
    expect.part("c.methods.m.trace.attributes: expected a table of attributes, or a function",
      refused { attributes = 5 })
  end)

  it("may be declined", function()
    titan.process { name = "c", methods = { m = { trace = false, print } } }
  end)
end)

describe("the spans of a worker", function()
  it("are there when it has been stopped", traced({ interval = "1h" }, function(pm, server)
    pm:spawn("workers.traced"):inside()
    pm:stop_all()
    assert.equal(2, #server:spans())
    assert.same({ exported = 2, dropped = 0, queued = 0 }, pm:tracing())
  end))

  it("are there, too, of a call that ends last", traced({ interval = "1h" }, function(pm, server)
    local worker = pm:spawn "workers.traced"
    local call = worker.async:sleep(50)
    pm:stop_all()
    call:await()
    assert.equal("traced/sleep", server:spans()[1].name)
  end))

  it("are sent before long while it lives", traced({}, function(pm, server)
    local worker = pm:spawn "workers.traced"
    for i = 1, 2 do
      worker:leaf()
      server:await_spans(i)
    end
  end))

  it("are bounded, and counted when they are too many", traced({ queue = 100, interval = "1h" },
    function(pm)
      pm:spawn("workers.traced"):many(1000)
      pm:stop_all()
      local counters = pm:tracing()
      assert.equal(1000, counters.exported + counters.dropped)
      assert.is_true(counters.exported >= 100)
    end))

  it("are taken only when they are spans", traced({}, function(pm, server)
    local worker = pm:spawn "workers.traced"
    for _, given in ipairs { "what", 5, {}, { 5, "x", { trace_id = 5 } } } do
      worker:send_spans(given, given)
    end
    worker:send_spans({}, -5)
    worker:send_spans({}, 7)
    assert.equal(10, pm:tracing().dropped)
    worker:leaf()
    server:await_spans(1)
  end))

  it("are lost with it when it crashes, and nothing else is", traced({}, function(pm, server)
    local worker = pm:spawn "workers.traced"
    worker:leaf()
    expect.error("worker_lost", worker.crash, worker)
    titan.span("after", print)
    server:await(function()
      local all = server:spans()
      return #all > 0 and all[#all].name == "after"
    end)
  end))

  it("do not keep a program from ending when nobody takes them", function()
    titan.run(function()
      local pm = titan.manager {
        logs = { format = "none" }, advanced = { spare_worker = false },
        monitoring = { tracing = { endpoint = collector.nowhere() } },
      }
      pm:spawn("workers.traced"):leaf()
      pm:stop_all()
      assert.equal(1, pm:tracing().dropped)
      expect.part("cannot connect", pm:tracing().last_error)
    end)
  end)

  it("do not keep it from ending when they are taken slowly", traced({ timeout = 20 },
    function(pm, server)
      server.answers = { false }
      pm:spawn("workers.traced"):leaf()
      pm:stop_all()
      assert.same({ exported = 0, dropped = 1, queued = 0, last_error = "no answer within 20 ms" },
        pm:tracing())
    end))
end)
