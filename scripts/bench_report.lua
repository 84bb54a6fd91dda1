-- Makes a table, or one JSON object, of what scripts/bench has measured.
--
-- usage: lua5.4 bench_report.lua [--json] [--colour] < LINES
--   LINES  what the floors and bench.lua printed, a JSON object a line, all rounds in a row
--
-- A figure is the median of its rounds; a ratio is Titan's figure over the floor's.

local cjson = require "cjson"

-- Bars are of the ratio (times = true) or of Titan's own figure, in the row's unit.
---@param most number
local function at_most(most)
  return { most = most, times = true }
end

---@param least number
local function at_least(least)
  return { least = least, times = true }
end

-- A name such as "spawn.one.p50_us" is a program's or section's, its mode's and its field's.
-- Without a bar a row is for information. Where Titan's figure is beside another one of Titan's,
-- that is the `base`, in the place of a floor.
local ROWS <const> = {
  { name = "spawn to first answer, p50", unit = "us", titan = "spawn.one.p50_us",
    floor = "fork.spawn.p50_us", bar = at_most(3) },
  { name = "spawn to first answer, p99", unit = "us", titan = "spawn.one.p99_us",
    floor = "fork.spawn.p99_us", bar = at_most(3) },
  { name = "  p50 beside fork and exec in C", unit = "us", titan = "spawn.one.p50_us",
    floor = "exec.spawn.p50_us" },
  { name = "spawns/s, 200 at once", unit = "/s", titan = "spawn.burst.per_s" },
  { name = "round trip, p50", unit = "us", titan = "roundtrip.call.p50_us",
    floor = "pingpong.epoll.p50_us", bar = at_most(1.6) },
  { name = "round trip, p99", unit = "us", titan = "roundtrip.call.p99_us",
    floor = "pingpong.epoll.p99_us", bar = at_most(1.6) },
  { name = "  p50 beside blocking reads in C", unit = "us", titan = "roundtrip.call.p50_us",
    floor = "pingpong.blocking.p50_us" },
  { name = "calls/s, 128 in flight, 1 worker", unit = "/s", titan = "throughput.one_worker.per_s",
    floor = "pingpong.batched.messages_per_s", bar = { least = 300e3 } },
  { name = "calls/s, 128 for each of 2 workers", unit = "/s",
    titan = "throughput.two_workers.per_s", floor = "pingpong.batched2.messages_per_s" },
  { name = "echo of 1 MiB", unit = "MiB/s", titan = "echo.1mib.mib_per_s",
    floor = "echo.socket.mib_per_s", bar = at_least(1) },
  { name = "  beside shared memory in C", unit = "MiB/s", titan = "echo.1mib.mib_per_s",
    floor = "echo.shm.mib_per_s" },
  { name = "PSS of an idle worker", unit = "KiB", titan = "memory.worker.pss_kib",
    floor = "fork.memory.pss_kib", bar = { most = 400 } },
  { name = "PSS of its manager, of 50 workers", unit = "KiB", titan = "memory.manager.pss_kib" },
  { name = "PSS of its zygote", unit = "KiB", titan = "memory.zygote.pss_kib" },
  { name = "SIGKILL to the crash event, p50", unit = "us", titan = "kill.notify.p50_us",
    floor = "kill.notify.p50_us" },
  { name = "SIGKILL to the crash event, p99", unit = "us", titan = "kill.notify.p99_us",
    floor = "kill.notify.p99_us" },
  { name = "SIGKILL to the next life's answer", unit = "us", titan = "kill.replace.p50_us",
    floor = "kill.replace.p50_us", bar = at_most(3) },
  { name = "  when it had just begun to serve", unit = "us", titan = "kill.at_once.p50_us",
    floor = "kill.replace.p50_us" },
  { name = "pool over direct call, 2 workers", unit = "us", titan = "pool.of_2.added_us",
    bar = { most = 2 } },
  { name = "pool over direct call, 200 workers", unit = "us", titan = "pool.of_200.added_us",
    bar = { most = 2 } },
  { name = "calls of 100 us CPU, 1 worker", unit = "/s", titan = "parallel.burn.one_per_s" },
  { name = "calls of 100 us CPU, 2 workers", unit = "/s", titan = "parallel.burn.two_per_s" },
  { name = "  2 workers over 1", unit = "x", titan = "parallel.burn.times", bar = { least = 1.6 } },
  { name = "CPU of a manager of 1000 at rest", unit = "%", titan = "idle.manager.cpu_percent",
    bar = { most = 1 } },
  { name = "automatic metrics, for a call", unit = "ns", titan = "metrics.one.ns",
    floor = "metrics.clock.ns", bar = { most = 150 } },
  { name = "  calls of 64 methods in turn", unit = "ns", titan = "metrics.all.ns",
    floor = "metrics.clock.ns", bar = { most = 150 } },
  { name = "cache hit inside the worker", unit = "ns", titan = "annotation.cache.call_ns",
    bar = { most = 2000 } },
  { name = "  by a table of 4 fields", unit = "ns", titan = "annotation.cache_table.call_ns",
    bar = { most = 2000 } },
  { name = "idempotent over bare, key given", unit = "us", titan = "idempotent.given.p50_us",
    base = "idempotent.bare.p50_us", bar = at_most(1.3) },
  { name = "  what of it with{} costs", unit = "us", titan = "idempotent.with.p50_us",
    base = "idempotent.bare.p50_us" },
  { name = "  key of the arguments", unit = "us", titan = "idempotent.digest.p50_us",
    base = "idempotent.bare.p50_us", bar = at_most(1.3) },
  { name = "  the worker asks, by key_fn", unit = "us", titan = "idempotent.asked.p50_us",
    base = "idempotent.bare.p50_us", bar = at_most(2.2) },
  { name = "  the answer is known", unit = "us", titan = "idempotent.known.p50_us",
    base = "idempotent.bare.p50_us" },
  { name = "new keys/s with sqlite, 128 callers", unit = "/s", titan = "sqlite.digest.per_s",
    base = "sqlite.file.per_s", bar = { least = 20e3 } },
  { name = "  the worker asks, by key_fn", unit = "/s", titan = "sqlite.asked.per_s",
    base = "sqlite.file.per_s" },
  { name = "stream of small items", unit = "/s", titan = "stream.small.per_s",
    bar = { least = 300e3 } },
  { name = "stream of 1 MiB items", unit = "MiB/s", titan = "stream.1mib.mib_per_s",
    bar = { least = 1024 } },
  { name = "isolation worker: spawn, p50", unit = "us", titan = "worker.spawn.p50_us",
    floor = "thread.spawn.p50_us", bar = at_most(2) },
  { name = "  p99", unit = "us", titan = "worker.spawn.p99_us", floor = "thread.spawn.p99_us" },
  { name = "  round trip, p50", unit = "us", titan = "worker.call.p50_us",
    floor = "futex.asleep.p50_us", bar = at_most(1.6) },
  { name = "  round trip, p99", unit = "us", titan = "worker.call.p99_us",
    floor = "futex.asleep.p99_us", bar = at_most(1.6) },
  { name = "  p50 beside spinning in C", unit = "us", titan = "worker.call.p50_us",
    floor = "futex.spinning.p50_us" },
  { name = "  round trip with the spin on, p50", unit = "us", titan = "worker.spinning.p50_us",
    floor = "futex.asleep.p50_us", bar = at_most(1) },
  { name = "    p50 beside spinning in C", unit = "us", titan = "worker.spinning.p50_us",
    floor = "futex.spinning.p50_us" },
  { name = "  calls/s, 128 in flight", unit = "/s", titan = "worker.throughput.per_s",
    bar = { least = 700e3 } },
  { name = "isolation thread: spawn, p50", unit = "us", titan = "thread.spawn.p50_us",
    floor = "thread.spawn.p50_us", bar = { most = 150 } },
  { name = "  ask on one native thread, p50", unit = "us", titan = "thread.ask_on_one.p50_us",
    bar = { most = 5 } },
  { name = "  ask from thread to thread, p50", unit = "us", titan = "thread.ask_on_two.p50_us",
    floor = "futex.asleep.p50_us", bar = { most = 15 } },
  { name = "  messages/s, 1000 states, 2 threads", unit = "/s",
    titan = "thread.many.messages_per_s", bar = { least = 500e3 } },
  { name = "    asks, of 2 messages each", unit = "/s", titan = "thread.many.asks_per_s" },
  { name = "  memory of an idle state", unit = "KiB", titan = "actors.idle.rss_kib",
    floor = "thread.memory.rss_kib", bar = { most = 60 } },
  { name = "    states of which that is", unit = "", titan = "actors.idle.count" },
  { name = "  spawns/s, 128 under way", unit = "/s", titan = "actors.idle.per_s" },
  { name = "echo of 1 MiB in a titan.buffer", unit = "MiB/s", titan = "buffers.copied.mib_per_s",
    floor = "echo.futex.mib_per_s", bar = at_least(0.5) },
  { name = "  passed on, not copied", unit = "MiB/s", titan = "buffers.passed.mib_per_s",
    floor = "echo.futex.mib_per_s" },
  { name = "spawn with max_memory, p50", unit = "us", titan = "limits.memory.p50_us",
    base = "limits.plain.p50_us" },
  { name = "spawn in a sandbox, p50", unit = "us", titan = "limits.sandbox.p50_us",
    base = "limits.plain.p50_us" },
}

-- What was measured ---------------------------------------------------------------------

---@class bench.Figures
---@field titan table<string, number[]> of all rounds, by name
---@field floor table<string, number[]>
---@field annotations { name: string, text: string }[] in the order in which they were measured
---@field skipped table<string, string> why there are no figures, by section and mode

---@return bench.Figures
local function read_figures()
  local figures, known = { titan = {}, floor = {}, annotations = {}, skipped = {} }, {}
  for line in io.lines() do
    local found = cjson.decode(line)
    if found.titan == "annotation" and not known[found.mode] then
      known[found.mode] = true
      table.insert(figures.annotations, { name = found.mode, text = found.text })
    end
    local whose = found.titan and "titan" or "floor"
    if found.skipped then
      figures.skipped[found.titan .. "." .. found.mode] = found.skipped
    end
    for field, value in pairs(found) do
      if math.type(value) then
        local name = table.concat({ found[whose], found.mode, field }, ".")
        local rounds = figures[whose][name] or {}
        figures[whose][name] = rounds
        rounds[#rounds + 1] = value
      end
    end
  end
  return figures
end

---@param values number[]?
---@return number?
local function median(values)
  if not values then
    return nil
  end
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local middle = (#sorted + 1) // 2
  return #sorted % 2 == 1 and sorted[middle] or (sorted[middle] + sorted[middle + 1]) / 2
end

---@param bar { most: number?, least: number?, times: boolean? }?
---@param figure number?
---@param ratio number?
---@return boolean? nil without a bar, or what is held against it
local function is_met(bar, figure, ratio)
  local value
  if bar then
    value = figure
    if bar.times then
      value = ratio
    end
  end
  return value and value <= (bar.most or math.huge) and value >= (bar.least or -math.huge)
end

---@param figures bench.Figures
---@return table[] rows that have been measured, with titan, floor, ratio, met and the rounds, or
-- that were to be, with the reason why they were `skipped`
local function measured_rows(figures)
  local rows = {}
  for _, of in ipairs(ROWS) do
    local titan = figures.titan[of.titan]
    local floor = of.floor and figures.floor[of.floor] or of.base and figures.titan[of.base]
    local skipped = figures.skipped[of.titan:match "^(.+)%."]
    if titan or floor or skipped then
      local row = {
        name = of.name, unit = of.unit, bar = of.bar, titan = median(titan), floor = median(floor),
        titan_rounds = titan, floor_rounds = floor, skipped = skipped,
      }
      row.ratio = row.titan and row.floor and row.titan / row.floor
      row.met = is_met(of.bar, row.titan, row.ratio)
      rows[#rows + 1] = row
    end
  end
  return rows
end

---@param figures bench.Figures
---@return table[] annotations with what they cost a call over the bare method
local function measured_annotations(figures)
  local list = {}
  for i, annotation in ipairs(figures.annotations) do
    local rounds = figures.titan["annotation." .. annotation.name .. ".ns"]
    list[i] = { name = annotation.name, text = annotation.text, ns = median(rounds),
      ns_rounds = rounds }
  end
  return list
end

-- As text -------------------------------------------------------------------------------

---@param value number
---@param digits integer that count
---@return string
local function rounded(value, digits)
  local whole = value < 1 and 1 or math.floor(math.log(value, 10)) + 1
  return string.format("%." .. math.max(0, digits - whole) .. "f", value)
end

-- The units, from the smallest number up: how many of the one before make one.
local SCALES <const> = {
  ns = { { "ns", 1 }, { "us", 1e3 } },
  us = { { "us", 1 }, { "ms", 1e3 } },
  ["/s"] = { { "/s", 1 }, { "k/s", 1e3 }, { "M/s", 1e6 } },
  KiB = { { "KiB", 1 }, { "MiB", 10 * 1024, 1024 } },
}

---@param value number?
---@param unit string
---@return string
local function shown(value, unit)
  if not value then
    return "-"
  end
  local name, one = unit, 1
  for _, scale in ipairs(SCALES[unit] or {}) do
    if value >= scale[2] then
      name, one = scale[1], scale[3] or scale[2]
    end
  end
  local number = rounded(value / one, 3)
  return name == "" and number or number .. " " .. name
end

---@param bar { most: number?, least: number?, times: boolean? }?
---@param unit string
---@return string
local function shown_bar(bar, unit)
  if not bar then
    return ""
  end
  local value = bar.most or bar.least
  return (bar.most and "<= " or ">= ")
    .. (bar.times and string.format("%gx", value) or shown(value, unit))
end

---@param met boolean?
---@param colour boolean
---@return string
local function marker(met, colour)
  if met == nil then
    return ""
  end
  local word, code = met and "ok" or "over", met and 32 or 31
  return colour and string.format("\27[%dm%s\27[0m", code, word) or word
end

---@param rows table[]
---@param colour boolean
local function print_table(rows, colour)
  local line = "%-35s %10s %10s %6s  %-13s %s"
  local function put(...)
    print((line:format(...):gsub(" +$", "")))
  end
  put("", "Titan", "floor", "ratio", "bar", "")
  for _, row in ipairs(rows) do
    local ratio = row.ratio and rounded(row.ratio, 3) .. "x" or ""
    put(row.name, shown(row.titan, row.unit), row.floor and shown(row.floor, row.unit) or "", ratio,
      shown_bar(row.bar, row.unit), row.skipped or marker(row.met, colour))
  end
end

---@param annotations table[]
local function print_annotations(annotations)
  print(("\n%-46s %10s"):format("an annotation, per call over the bare method", "CPU time"))
  for _, of in ipairs(annotations) do
    print(("%-46s %10s"):format(of.text, shown(of.ns, "ns")))
  end
end

-- ---------------------------------------------------------------------------------------

local asked = {}
for _, argument in ipairs(arg) do
  asked[argument] = true
end
local figures = read_figures()
local rows, annotations = measured_rows(figures), measured_annotations(figures)
if asked["--json"] then
  for _, row in ipairs(rows) do
    row.name = row.name:gsub("^ +", "")
  end
  print(cjson.encode { rows = rows, annotations = #annotations > 0 and annotations or nil })
else
  print_table(rows, asked["--colour"] or false)
  if #annotations > 0 then
    print_annotations(annotations)
  end
end
