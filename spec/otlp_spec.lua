local cjson = require "cjson"
local collector = require "support.collector"
local config = require "titan.config"
local exporter = require "titan.tracing.exporter"
local http_response = require "titan.tracing.http_response"
local luv = require "luv"
local otlp = require "titan.tracing.otlp"
local retry_after = require "titan.tracing.retry_after"
local titan = require "titan"

local SOURCE = { process = "images", pid = 7 }

local function record(fields)
  local all = {
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736", span_id = "00f067aa0ba902b7",
    name = "images/resize", kind = "server", start_ns = 1700000000000000001, duration_ns = 1500,
  }
  for name, value in pairs(fields or {}) do
    all[name] = value
  end
  return all
end

-- A test with an exporter that posts to a collector which answers as `answers` say.
local function exporting(options, answers, fn)
  return function()
    titan.run(function()
      local server = collector.open(table.unpack(answers))
      local given = { endpoint = server.endpoint, interval = 5 }
      for name, value in pairs(options) do
        given[name] = value
      end
      local out = exporter.new(config.check { monitoring = { tracing = given } }.monitoring.tracing)
      local ok, err = xpcall(fn, debug.traceback, out, server)
      out:close()
      server:close()
      assert(ok, err)
    end)
  end
end

local function add(out, count)
  for i = 1, count do
    out:add(record { span_id = string.format("%016x", i) }, SOURCE)
  end
end

local function await_counters(out, server, expected)
  server:await(function()
    local counters = out:counters()
    for name, value in pairs(expected) do
      if counters[name] ~= value then
        return false
      end
    end
    return true
  end)
  return out:counters()
end

describe("a span in OTLP", function()
  local function encoded(spans)
    for i, span in ipairs(spans) do
      spans[i] = { record = span, source = SOURCE }
    end
    return cjson.decode(otlp.new("shop"):encode(spans)).resourceSpans
  end

  local function span(fields)
    return encoded({ record(fields) })[1].scopeSpans[1].spans[1]
  end

  it("has hex ids, decimal strings for 64 bits and numbers for enums", function()
    assert.same({
      traceId = "4bf92f3577b34da6a3ce929d0e0e4736", spanId = "00f067aa0ba902b7",
      parentSpanId = "00f067aa0ba902b8", traceState = "a=1", flags = 0x301,
      name = "images/resize", kind = 2,
      startTimeUnixNano = "1700000000000000001", endTimeUnixNano = "1700000000000001501",
    }, span { parent_id = "00f067aa0ba902b8", remote = true, tracestate = "a=1" })
    assert.equal(1, span({ kind = "internal" }).kind)
    assert.equal(0x101, span({}).flags)
  end)

  it("says which method failed and how, as the conventions for RPC name it", function()
    local failed = span { service = "images", method = "resize", error_code = "overloaded",
      error_message = "full" }
    assert.same({ code = 2, message = "full" }, failed.status)
    assert.same({
      { key = "rpc.system", value = { stringValue = "titan" } },
      { key = "rpc.service", value = { stringValue = "images" } },
      { key = "rpc.method", value = { stringValue = "resize" } },
      { key = "error.type", value = { stringValue = "overloaded" } },
    }, failed.attributes)
  end)

  it("has attributes of each kind, whatever their values", function()
    local attributes = span({ attributes = {
      a = math.mininteger, b = 0.5, c = true, d = "text", e = 0 / 0, f = -math.huge,
      g = "\xff<\xe4", ["h\xff"] = 1,
    } }).attributes
    assert.same({
      { key = "a", value = { intValue = "-9223372036854775808" } },
      { key = "b", value = { doubleValue = 0.5 } },
      { key = "c", value = { boolValue = true } },
      { key = "d", value = { stringValue = "text" } },
      { key = "e", value = { doubleValue = "NaN" } },
      { key = "f", value = { doubleValue = "-Infinity" } },
      { key = "g", value = { stringValue = "\u{fffd}<\u{fffd}" } },
      { key = "h\u{fffd}", value = { intValue = "1" } },
    }, attributes)
  end)

  it("comes under the process it is of", function()
    local other = { process = "other" }
    local parts = cjson.decode(otlp.new("shop"):encode {
      { record = record(), source = SOURCE }, { record = record(), source = other },
      { record = record(), source = SOURCE },
    }).resourceSpans
    assert.equal(2, #parts)
    assert.equal(2, #parts[1].scopeSpans[1].spans)
    local first = {}
    for _, pair in ipairs(parts[1].resource.attributes) do
      first[pair.key] = pair.value.stringValue or pair.value.intValue
    end
    assert.equal("shop", first["service.name"])
    assert.equal("images", first["titan.process"])
    assert.equal("7", first["process.pid"])
    assert.equal("images-7", first["service.instance.id"])
  end)

  local unfit = {
    ["nothing"] = false,
    ["an upper-case id"] = record { trace_id = ("A"):rep(32) },
    ["a short id"] = record { span_id = "1" },
    ["a parent that is none"] = record { parent_id = "x" },
    ["no name"] = record { name = 5 },
    ["an unknown kind"] = record { kind = "client" },
    ["a time that is no integer"] = record { start_ns = 1.5 },
    ["a negative duration"] = record { duration_ns = -1 },
    ["an end beyond all time"] = record { start_ns = math.maxinteger },
    ["a method of no service"] = record { method = "resize" },
    ["an attribute that is a table"] = record { attributes = { a = {} } },
    ["an attribute without a name"] = record { attributes = { "x" } },
    ["an error that is no text"] = record { error_message = {} },
  }
  for what, value in pairs(unfit) do
    it("is not taken from a worker with " .. what, function()
      assert.is_false(otlp.is_record(value))
    end)
  end

  it("is taken from a worker when it can be encoded", function()
    assert.is_true(otlp.is_record(record { attributes = { a = 1 }, error_code = "timeout" }))
  end)
end)

describe("an HTTP answer", function()
  -- In one piece and byte by byte.
  local function read(bytes, at_end)
    local results = {}
    for _, step in ipairs { math.max(#bytes, 1), 1 } do
      local reader, answer, wrong = http_response.reader(20), nil, nil
      for i = 1, #bytes, step do
        answer, wrong = reader:feed(bytes:sub(i, i + step - 1))
        if answer or wrong then
          break
        end
      end
      if at_end and not answer and not wrong then
        answer = reader:close()
      end
      results[#results + 1] = { answer and answer.status, answer and answer.body, wrong }
    end
    assert.same(results[1], results[2])
    return table.unpack(results[1], 1, 3)
  end

  local complete = {
    ["of a length"] = { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello" },
    ["without a reason"] = { "HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n", 503, "" },
    ["with bare line ends"] = { "HTTP/1.0 200 OK\nContent-Length: 2\n\n{}", 200, "{}" },
    ["in chunks"] = { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
      .. "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: 1\r\n\r\n", 200, "abcde" },
    ["of no content"] = { "HTTP/1.1 204 No Content\r\n\r\n", 204, "" },
    ["after a provisional one"] = {
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 1\r\n\r\n-", 404, "-",
    },
    ["larger than it may be"] = {
      "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" .. ("x"):rep(30), 200, nil,
    },
    ["in a chunk larger than it may be"] = {
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" .. ("x"):rep(30), 200, nil,
    },
  }
  for what, case in pairs(complete) do
    it(what .. " is read", function()
      assert.same({ case[2], case[3] }, { read(case[1]) })
    end)
  end

  it("without a length is read to the end of the connection", function()
    local head = "HTTP/1.1 200 OK\r\n\r\n"
    assert.same({ 200, "hello" }, { read(head .. "hello", true) })
    assert.same({}, { read(head .. "hello") })
  end)

  local early = {
    "", "HTTP/1", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
  }
  for _, bytes in ipairs(early) do
    it("that ends early is none: " .. bytes:sub(-20):gsub("%c", "."), function()
      assert.same({}, { read(bytes, true) })
    end)
  end

  local garbage = {
    ["another protocol"] = "SSH-2.0-OpenSSH_9.2\r\n", ["no status"] = "HTTP/1.1 OK\r\n\r\n",
    ["a field without a name"] = "HTTP/1.1 200 OK\r\nwhat\r\n\r\n",
    ["a length that is none"] = "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    ["an unknown coding"] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ["a chunk without a size"] =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ["a chunk that is too long"] =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
    ["a head without an end"] = "HTTP/1.1 200 OK\r\n" .. ("a: b\r\n"):rep(5000),
  }
  for what, bytes in pairs(garbage) do
    it("is refused when it has " .. what, function()
      assert.is_string((select(3, read(bytes))))
    end)
  end
end)

describe("Retry-After", function()
  it("is a number of seconds or a date", function()
    assert.equal(120000, retry_after "120")
    local later = retry_after(os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 100))
    assert.is_true(later > 90000 and later <= 100000)
    assert.equal(0, retry_after "Sun, 06 Nov 1994 08:49:37 GMT")
  end)

  it("is nothing when it says neither", function()
    for _, value in ipairs { "", "soon", "-1", "1.5", "Sun, 06 Foo 1994 08:49:37 GMT" } do
      assert.is_nil(retry_after(value))
    end
    assert.is_nil(retry_after(nil))
  end)
end)

describe("the exporter", function()
  it("posts what has come within the interval", exporting({ headers = { ["X-Token"] = "t" } }, {},
    function(out, server)
      add(out, 3)
      local _, spans = server:await_spans(3)
      assert.equal("0000000000000002", spans[2].spanId)
      local head = server.posts[1].head
      assert.truthy(head:find("POST /v1/traces HTTP/1.1\r\n", 1, true))
      assert.truthy(head:find("Content-Type: application/json\r\n", 1, true))
      assert.truthy(head:find("X-Token: t\r\n", 1, true))
      await_counters(out, server, { exported = 3, dropped = 0, queued = 0 })
    end))

  it("does not wait for the interval when a batch is full", exporting(
    { batch = 2, interval = "1h" }, {}, function(out, server)
      add(out, 5)
      server:await_spans(4)
      await_counters(out, server, { exported = 4, queued = 1 })
    end))

  it("drops and counts what the queue has no room for", exporting(
    { queue = 10, interval = "1h" }, {}, function(out, server)
      add(out, 25)
      assert.same({ exported = 0, dropped = 15, queued = 10 }, out:counters())
      out:flush(1000)
      assert.equal(10, #server:spans())
    end))

  it("posts again after 429, 502, 503 and 504", exporting({}, { 429, 502, 503, 504, 200 },
    function(out, server)
      add(out, 2)
      local counters = await_counters(out, server, { exported = 2, dropped = 0 })
      assert.equal(5, #server.posts)
      assert.equal("the collector answered 504", counters.last_error)
    end))

  it("gives a batch up after five posts", exporting({}, { 503 }, function(out, server)
    add(out, 2)
    await_counters(out, server, { exported = 0, dropped = 2, queued = 0 })
    assert.equal(5, #server.posts)
  end))

  for _, status in ipairs { 400, 404, 500, 301 } do
    it("does not post again after " .. status, exporting({}, { status, 200 }, function(out, server)
      add(out, 1)
      local counters = await_counters(out, server, { dropped = 1 })
      assert.equal("the collector answered " .. status, counters.last_error)
      add(out, 1)
      await_counters(out, server, { exported = 1, dropped = 1 })
      assert.equal(2, #server.posts)
    end))
  end

  it("waits as long as Retry-After asks", exporting({},
    { "HTTP/1.1 503 Busy\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n", 200 },
    function(out, server)
      add(out, 1)
      server:await(function()
        return out:counters().last_error
      end)
      titan.sleep(30) -- several times its own backoff
      assert.equal(1, #server.posts)
      assert.equal(1, out:counters().queued)
    end))

  it("counts what a collector takes in part", exporting({ batch = 3 }, {
    "HTTP/1.1 200 OK\r\n\r\n"
      .. '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}',
  }, function(out, server)
    add(out, 3)
    local counters = await_counters(out, server, { exported = 1, dropped = 2 })
    assert.equal("the collector rejected 2 spans: too old", counters.last_error)
  end))

  it("is not fooled by an answer that counts wrong, or is no JSON", exporting({ batch = 1 }, {
    "HTTP/1.1 200 OK\r\n\r\n" .. '{"partialSuccess":{"rejectedSpans":99}}',
    "HTTP/1.1 200 OK\r\n\r\n" .. '{"partialSuccess":{"rejectedSpans":-5}}',
    "HTTP/1.1 200 OK\r\n\r\n" .. '{"partialSuccess":{"rejectedSpans":{}}}',
    "HTTP/1.1 200 OK\r\n\r\n" .. '[{',
  }, function(out, server)
    add(out, 4)
    await_counters(out, server, { exported = 3, dropped = 1 })
  end))

  it("gives up at once what is answered with garbage", exporting({},
    { "SSH-2.0-OpenSSH_9.2\r\n", 200 }, function(out, server)
      add(out, 1)
      local counters = await_counters(out, server, { dropped = 1 })
      assert.equal("it is not an HTTP/1 answer", counters.last_error)
    end))

  it("posts again when the connection ends before the answer", exporting({},
    { luv.close, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", 200 }, function(out, server)
      add(out, 1)
      await_counters(out, server, { exported = 1, dropped = 0 })
      assert.equal(3, #server.posts)
    end))

  it("posts again when there is no answer in time", exporting({ timeout = 20 }, { false, 200 },
    function(out, server)
      add(out, 1)
      local counters = await_counters(out, server, { exported = 1 })
      assert.equal("no answer within 20 ms", counters.last_error)
    end))

  it("drops and counts when nobody listens", exporting({ endpoint = collector.nowhere() }, {},
    function(out, server)
      add(out, 1)
      local counters = await_counters(out, server, { dropped = 1, queued = 0 })
      assert.truthy(counters.last_error:find("cannot connect", 1, true))
    end))

  it("tries every address of a name", exporting({}, {}, function(_, server)
    local port = server.endpoint:match ":(%d+)/"
    local out = exporter.new(config.check { monitoring = { tracing = {
      endpoint = "http://localhost:" .. port, interval = 1,
    } } }.monitoring.tracing)
    add(out, 1)
    server:await_spans(1)
    out:close()
  end))

  it("takes spans while the collector is slow, and only so many", exporting(
    { queue = 4, batch = 2 }, { false }, function(out, server)
      add(out, 2)
      server:await(function()
        return #server.posts == 1
      end)
      add(out, 10)
      assert.same({ exported = 0, dropped = 6, queued = 6 }, out:counters())
      out:close()
      assert.same({ exported = 0, dropped = 12, queued = 0 }, out:counters())
    end))
end)

describe("flushing the exporter", function()
  it("posts all there is, batch by batch", exporting({ batch = 2, interval = "1h" }, {},
    function(out, server)
      add(out, 1)
      out:flush(1000)
      assert.same({ exported = 1, dropped = 0, queued = 0 }, out:counters())
      add(out, 7)
      out:flush(1000)
      assert.equal(8, #server:spans())
    end))

  it("does not wait for what is to be posted again", exporting({ interval = "1h" }, { 503 },
    function(out, server)
      add(out, 1)
      out:flush(2000)
      assert.equal(1, #server.posts)
      assert.equal(1, out:counters().dropped)
    end))

  it("ends a wait for the next post", exporting({}, {
    "HTTP/1.1 503 Busy\r\nRetry-After: 100\r\nContent-Length: 0\r\n\r\n", 200,
  }, function(out, server)
    add(out, 1)
    server:await(function()
      return out:counters().last_error
    end)
    out:flush(1000)
    assert.equal(1, out:counters().exported)
  end))

  it("waits only so long for a slow collector", exporting({}, { false }, function(out)
    add(out, 1)
    out:flush(20)
    assert.equal(1, out:counters().queued)
  end))

  it("is nothing without spans, and after the end", exporting({}, {}, function(out)
    out:flush(1000)
    out:close()
    out:flush(1000)
    add(out, 1)
    assert.same({ exported = 0, dropped = 1, queued = 0 }, out:counters())
  end))
end)

describe("monitoring.tracing", function()
  local function refusal(given)
    local ok, err = pcall(config.check, { monitoring = { tracing = given } })
    assert.is_false(ok)
    return err.message
  end

  it("is all defaults for true", function()
    assert.same({
      endpoint = {
        host = "127.0.0.1", port = 4318, authority = "127.0.0.1:4318", path = "/v1/traces",
      },
      sample = 1.0, service_name = "titan", headers = {}, batch = 512, interval = 1000,
      queue = 2048, timeout = 5000,
    }, config.check({ monitoring = { tracing = true } }).monitoring.tracing)
    assert.is_false(config.check({ monitoring = { tracing = false } }).monitoring.tracing)
  end)

  local endpoints = {
    ["http://collector"] = { "collector", 80, "/" },
    ["HTTP://[::1]:4318/x?y=z#w"] = { "::1", 4318, "/x?y=z" },
    ["http://a.example:80?x"] = { "a.example", 80, "/?x" },
  }
  for url, parts in pairs(endpoints) do
    it("posts to " .. url, function()
      local checked = config.check { monitoring = { tracing = { endpoint = url } } }
      local at = checked.monitoring.tracing.endpoint
      assert.same(parts, { at.host, at.port, at.path })
    end)
  end

  local refused = {
    { { endpoint = "https://x/" }, "monitoring.tracing.endpoint: an https endpoint is not built" },
    { { endpoint = "ftp://x/" }, 'endpoint: "ftp://x/" is not an http:// URL' },
    { { endpoint = "http://:80/" }, "has no usable host and port" },
    { { endpoint = "http://x:0/" }, "has no usable host and port" },
    { { endpoint = "http://x:99999/" }, "has no usable host and port" },
    { { endpoint = "http://u:p@x/" }, "a URL with a user or a password is not taken" },
    { { endpoint = "http://x/a b" }, "has characters that a URL cannot have" },
    { { endpoint = "http://x/\r\nA: b" }, "has characters that a URL cannot have" },
    { { sample = 1.5 }, "tracing.sample: expected a number from 0 to 1" },
    { { samples = 1 }, 'tracing.samples: unknown key; did you mean "sample"?' },
    { { headers = { ["Content-Length"] = "5" } }, "Content-Length is set by Titan" },
    { { headers = { ["a b"] = "5" } }, "the name of a header field" },
    { { headers = { a = "5\r\nb: c" } }, "a string without line ends" },
    { { queue = 0 }, "tracing.queue: expected an integer from 1" },
    { "yes", "config.monitoring.tracing: expected true, false or a table" },
  }
  for _, case in ipairs(refused) do
    it("refuses: " .. case[2], function()
      assert.truthy(refusal(case[1]):find(case[2], 1, true), refusal(case[1]))
    end)
  end
end)
