local core = require "titan.core"
local expect = require "support.expect"
local key = require "titan.metric.key"
local managed = require "support.managed"
local restarts = require "support.restarts"
local slots = require "titan.metric.slots"
local titan = require "titan"

-- A test with a worker of spec/workers/metered.lua.
local function metered(fn)
  return managed(function(pm)
    fn(pm:spawn "workers.metered", pm)
  end)
end

-- The series of a metric, by their keys: the value of a counter, the latency of a histogram.
local function series_of(pm, name)
  local found = {}
  for _, one in ipairs(pm:get_metrics("w1").series) do
    if one.name == name then
      found[one.key] = one.value or one.latency
    end
  end
  return found
end

local function refused(metric)
  return expect.error("invalid_config", titan.process, {
    name = "c", methods = { m = { metric = metric, function() end } },
  }).message
end

describe("the annotation metric", function()
  it("counts calls under a name", metered(function(worker, pm)
    assert.same({ 1, nil, 3 }, { worker:plain(1, nil, 3) })
    worker:plain()
    assert.equal(2, pm:get_metrics("w1").counters["plain.calls"])
    for _, one in ipairs(pm:get_metrics("w1").series) do
      if one.name == "plain.calls" then
        assert.same({ name = "plain.calls", kind = "counter", labels = {}, key = "plain.calls",
          value = 2 }, one)
      end
    end
  end))

  it("counts calls that the worker makes itself", metered(function(worker, pm)
    worker:spin("plain", 5)
    worker:spin("labelled", 5, "png", 1)
    assert.equal(5, pm:get_metrics("w1").counters["plain.calls"])
    assert.equal(5, pm:get_metrics("w1").counters["labelled.calls"])
  end))

  it("measures how long calls take, by labels and together", metered(function(worker, pm)
    worker:rest("slow", 50)
    worker:rest("fast", 0)
    worker:rest("fast", 0)
    local series = series_of(pm, "rest.ms")
    local slow, fast = series['rest.ms{how="slow"}'], series['rest.ms{how="fast"}']
    assert.equal(1, slow.count)
    assert.is_true(slow.mean >= 45 and slow.p50 >= 40)
    assert.equal(2, fast.count)
    local all = pm:get_metrics("w1").histograms["rest.ms"]
    assert.equal(3, all.count)
    assert.is_true(all.max >= slow.p50 and all.mean < slow.mean)
  end))

  it("has both in one, with a label that is always the same", metered(function(worker, pm)
    assert.equal("x", (worker:both "x"))
    assert.same({ ['both.calls{region="eu"}'] = 1 }, series_of(pm, "both.calls"))
    assert.equal(1, series_of(pm, "both.ms")['both.ms{region="eu"}'].count)
    worker:both()
    assert.equal(2, pm:get_metrics("w1").histograms["both.ms"].count)
  end))

  it("is there with nothing in it before the first call", metered(function(_, pm)
    assert.same({ ['both.calls{region="eu"}'] = 0 }, series_of(pm, "both.calls"))
    assert.equal(0, pm:get_metrics("w1").histograms["both.ms"].count)
    assert.same({}, series_of(pm, "labelled.calls"))
  end))

  it("leaves out calls that raised", metered(function(worker, pm)
    expect.error("remote_error", worker.failing, worker)
    local metrics = pm:get_metrics "w1"
    assert.equal(0, metrics.counters["failing.calls"])
    assert.equal(0, metrics.histograms["failing.ms"].count)
    assert.equal(1, metrics.methods.failing.errors)
  end))
end)

describe("the labels of metric", function()
  it("are functions of the arguments", metered(function(worker, pm)
    worker:labelled("png", 200)
    worker:labelled("png", 200)
    worker:labelled("png", 20)
    worker:labelled("jpeg", 20)
    assert.same({ "jpeg", 20 }, (worker:seen()))
    local zone = [[zone="a\\b\"c"}]]
    assert.same({
      ['labelled.calls{format="png",wide="true",' .. zone] = 2,
      ['labelled.calls{format="png",wide="false",' .. zone] = 1,
      ['labelled.calls{format="jpeg",wide="false",' .. zone] = 1,
    }, series_of(pm, "labelled.calls"))
    for _, one in ipairs(pm:get_metrics("w1").series) do
      if one.name == "labelled.calls" then
        assert.equal('a\\b"c', one.labels.zone)
        assert.truthy(one.labels.format == "png" or one.labels.format == "jpeg")
      end
    end
  end))

  it("are left out where they are nil or empty", metered(function(worker, pm)
    worker:labelled()
    worker:labelled ""
    worker:labelled("", 1)
    local zone = [[zone="a\\b\"c"}]]
    assert.same({
      ["labelled.calls{" .. zone] = 2,
      ['labelled.calls{wide="false",' .. zone] = 1,
    }, series_of(pm, "labelled.calls"))
  end))

  it("are made short and printable", metered(function(worker, pm)
    local long = ("x"):rep(63) .. "é" .. "y"
    for _, id in ipairs { long, "a\27\0b\nc", "\xFF", 0 / 0, 5, 0.5, true } do
      worker:many(id)
      worker:many(id)
    end
    local ids = {}
    for _, one in ipairs(pm:get_metrics("w1").series) do
      if one.name == "many.calls" then
        ids[one.labels.id] = one.value
      end
    end
    assert.same({ [("x"):rep(63)] = 2, ["a??b\nc"] = 2, ["?"] = 2, nan = 2, ["5"] = 2, ["0.5"] = 2,
      ["true"] = 2 }, ids)
  end))

  it("fail the call when their function does", metered(function(worker, pm)
    local err = expect.error("remote_error", worker.broken, worker, 5)
    expect.part({ "metered.broken: metric.labels.raising raised: ", "index a number" }, err.message)
    err = expect.error("remote_error", worker.broken, worker, {}, {})
    expect.part("metered.broken: metric.labels.refused returned a table; it must return a string",
      err.message)
    assert.equal(0, select(2, worker:seen()))
    assert.same({}, series_of(pm, "broken.calls"))
    worker:broken({}, 1)
    assert.same({ ['broken.calls{refused="1"}'] = 1 }, series_of(pm, "broken.calls"))
  end))

  it("share one series when there are too many", metered(function(worker, pm)
    worker:range(1, 1500)
    worker:range(1, 3)
    worker:labelled("late", 1)
    worker:plain()
    local metrics = pm:get_metrics "w1"
    assert.equal(1503, metrics.counters["many.calls"])
    assert.equal(1503, metrics.histograms["many.ms"].count)
    local calls = series_of(pm, "many.calls")
    assert.equal(2, calls['many.calls{id="3"}'])
    local own = 0
    for _, value in pairs(calls) do
      own = own + (value <= 2 and value or 0)
    end
    assert.is_true(own > 50)
    assert.equal(1503 - own, calls['many.calls{overflow="true"}'])
    assert.is_true(series_of(pm, "many.ms")['many.ms{overflow="true"}'].count > 1000)
    assert.same({ ['labelled.calls{overflow="true"}'] = 1 }, series_of(pm, "labelled.calls"))
    assert.equal(1, metrics.counters["plain.calls"])
    assert.is_true(#metrics.series <= 256)
  end))
end)

describe("what metric counted", function()
  it("is still known when the worker was killed", metered(function(worker, pm)
    worker:both()
    worker:rest("fast", 0)
    local lost = worker.async:rest("never", "1h")
    worker:plain()
    pm:kill "w1"
    expect.error("worker_lost", lost.await, lost)
    assert.is_nil(pm:get_metrics "metered")
    local metrics = pm:get_metrics "w1"
    assert.equal(1, metrics.counters["plain.calls"])
    assert.equal(1, metrics.histograms["rest.ms"].count)
    assert.same({ ['both.calls{region="eu"}'] = 1 }, series_of(pm, "both.calls"))
  end))

  it("begins anew with each life", managed({ restart_policy = restarts.soon() }, function(pm)
    local worker = pm:spawn "workers.metered"
    worker:plain()
    worker:labelled("png", 1)
    restarts.crash(pm, "w1")
    assert.equal(0, pm:get_metrics("w1").counters["plain.calls"])
    assert.is_nil(pm:get_metrics("w1").counters["labelled.calls"])
  end))

  it("is nothing in a worker without metrics of its own", managed(function(pm)
    pm:spawn "workers.echo"
    local metrics = pm:get_metrics "echo"
    assert.same({ {}, {}, {} }, { metrics.series, metrics.counters, metrics.histograms })
  end))

  it("is not believed when it makes no sense", metered(function(worker, pm)
    local before = #pm:get_metrics("w1").series
    for _, text in ipairs { "1st", "a b", "a{", "a{}", "a{b}", 'a{b="c}', 'a{b="c"', 'a{b="c",}',
      'a{b="c"}d', 'a{b="\\', 'a,b="c"}', "a\nb", "\27[2J", 'a{b="\7"}', "{" } do
      worker:add(text)
      worker:record(text, 1)
    end
    assert.equal(before, #pm:get_metrics("w1").series)
    worker:add('forged{b="c\\n",a="}"}', 7)
    assert.equal(7, pm:get_metrics("w1").counters.forged)
  end))

  it("is made of counters that only grow and of times of any length", metered(function(worker, pm)
    worker:add("a", 40)
    worker:add "a"
    assert.equal(41, pm:get_metrics("w1").counters.a)
    expect.error("remote_error", worker.add, worker, "a", -1)
    expect.error("remote_error", worker.add, worker, "")
    expect.error("remote_error", worker.add, worker, ("x"):rep(240))
    for _, ms in ipairs { 0 / 0, -math.huge, -1, 0, 2.5, math.huge } do
      worker:record("t", ms)
    end
    local latency = pm:get_metrics("w1").histograms.t
    assert.equal(6, latency.count)
    assert.is_true(latency.p50 < 0.001 and latency.max > 72 * 60000 and latency.max < 74 * 60000)
  end))
end)

describe("a key of a series", function()
  it("says what it was made of", function()
    for _, labels in ipairs { {}, { a = "" }, { a = 'b"', c = "\\n", d = "x\n}\\" } } do
      local texts = {}
      for _, name in ipairs { "a", "c", "d" } do
        texts[#texts + 1] = labels[name] and key.label(name, labels[name])
      end
      local name, parsed = key.parse(key.text("m.n:o", texts))
      assert.equal("m.n:o", name)
      assert.same(labels, parsed)
    end
  end)

  it("is for workers only", function()
    expect.complaint("for the inside of a worker", core.series, "counter", "a")
  end)
end)

describe("a metric that is refused", function()
  it("counts nothing", function()
    assert.equal("c.methods.m.metric: nothing is counted or measured; give the name of a counter, "
      .. "of a histogram, or both", refused {})
    assert.equal("c.methods.m.metric: expected the name of a counter, or a table, given boolean "
      .. "true", refused(true))
    assert.equal('c.methods.m.metric.counters: unknown key; did you mean "counter"?',
      refused { counters = "a" })
    assert.equal("c.methods.m.metric.histogram: expected a string, given number 1",
      refused { histogram = 1 })
  end)

  it("has a bad name", function()
    for _, name in ipairs { "", "1st", "a b", "a-b", ".a", "a\n", "ä" } do
      expect.part({ "c.methods.m.metric: a metric's name is letters", ", given string" },
        refused(name))
      expect.part("c.methods.m.metric.counter: a metric's name is letters",
        refused { counter = name })
      expect.part("c.methods.m.metric.histogram: a metric's name is letters",
        refused { histogram = name })
    end
    expect.part("a metric's name has at most 100 bytes, this one has 101", refused(("x"):rep(101)))
    assert.equal('c.methods.m.metric.histogram: "a_b" is the name of the counter already; use '
      .. 'another one, such as "a.b.ms"', refused { counter = "a.b", histogram = "a_b" })
  end)

  it("has bad labels", function()
    local function label_refused(labels)
      return refused { counter = "a", labels = labels }
    end
    expect.part('c.methods.m.metric.labels["1st"]: a label\'s name is letters',
      label_refused { ["1st"] = "x" })
    expect.part("c.methods.m.metric.labels.__a: names that begin with two underscores",
      label_refused { __a = "x" })
    expect.part("c.methods.m.metric.labels.overflow: the label is Titan's own",
      label_refused { overflow = "x" })
    expect.part("c.methods.m.metric.labels[1]: a label's name is letters", label_refused { "x" })
    expect.part("c.methods.m.metric.labels.a: expected a string, or a function that returns one, "
      .. "given number 1", label_refused { a = 1 })
    expect.part("c.methods.m.metric.labels.a: an empty label is none", label_refused { a = "" })
    expect.part("c.methods.m.metric.labels.a: a label is printable UTF-8 of at most 64 bytes",
      label_refused { a = ("x"):rep(65) })
    expect.part("c.methods.m.metric.labels: expected at most 8 labels, given 9",
      label_refused { a = "1", b = "1", c = "1", d = "1", e = "1", f = "1", g = "1", h = "1",
        i = "1" })
    expect.part("c.methods.m.metric.counter: name and labels have more than 239 bytes together",
      label_refused { a = ("x"):rep(64), b = ("x"):rep(64), c = ("x"):rep(64), d = ("x"):rep(64) })
  end)

  it("is one too many for a process, or another spelling", function()
    for index = 1, 64 do
      slots.declare(index % 2 == 0 and "counter" or "histogram", "one.of." .. index, "p")
    end
    slots.declare("counter", "one.of.2", "p")
    local err = expect.error("invalid_config", slots.declare, "counter", "one.more", "p")
    assert.equal("p: a process has at most 64 metrics of its own", err.message)
    err = expect.error("invalid_config", slots.declare, "counter", "one_of.2", "p")
    expect.part('p: "one_of.2" and "one.of.2" are the same name where metrics are collected',
      err.message)
  end)

  it("is another metric in another method", managed(function(pm)
    local err = expect.error("invalid_config", pm.spawn, pm, "workers.mixed_metrics")
    expect.part('mixed.methods.b.metric.histogram: "a.calls" is the name of a counter already',
      err.message)
  end))
end)
