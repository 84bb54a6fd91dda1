--- Where the series of this worker are: name and labels -> slot in the memory that the manager
--- reads.
--
-- There are 256 slots and the last 64 of them are kept for one series a metric, with the label
-- overflow="true", which takes in whatever has no slot of its own: the 193rd series and those that
-- follow, and those whose text is too long. A process may have 64 metrics, so that each of them
-- finds one.

local core = require "titan.core"
local errors = require "titan.errors"
local key = require "titan.metric.key"
local tasks = require "titan.tasks"

local slots = {}

---@alias titan.MetricKind "counter"|"histogram"

local MAX_METRICS <const> = 64

---@class titan.SlotSink where series are: those of core in a worker
---@field series fun(kind: titan.MetricKind, key: string, reserved: boolean?): integer?
---@field series_add fun(slot: integer, n: integer?)
---@field series_took fun(slot: integer, started_ms: number, counter: integer?)

---@class titan.SlotBook what is known of one process
---@field metrics table<string, { kind: titan.MetricKind, name: string }> by the name under which
--- they are exported
---@field count integer of the metrics
---@field known table<titan.MetricKind, table<string, integer>> slots by text
---@field full boolean

---@type table<titan.SlotSink, titan.SlotBook>
local books = setmetatable({}, { __mode = "k" })

--- Those of the process that runs: several workers of titan.testing's are one in truth.
---@return titan.SlotSink
function slots.sink()
  local owner = tasks.owner()
  return owner and owner.series or core
end

---@param sink titan.SlotSink
---@return titan.SlotBook
local function book_of(sink)
  books[sink] = books[sink]
    or { metrics = {}, count = 0, known = { counter = {}, histogram = {} }, full = false }
  return books[sink]
end

--- A metric of this process. Raises `invalid_config` when the name means another one already, in a
--- method of the same class say.
---@param kind titan.MetricKind
---@param name string
---@param path string
function slots.declare(kind, name, path)
  local book, exported = book_of(slots.sink()), key.exported(name)
  local other = book.metrics[exported]
  if other and other.kind ~= kind then
    errors.raise("invalid_config", string.format('%s: "%s" is the name of a %s already; one name '
      .. "is one kind of metric, use another one", path, other.name, other.kind))
  elseif other and other.name ~= name then
    errors.raise("invalid_config", string.format('%s: "%s" and "%s" are the same name where '
      .. 'metrics are collected ("%s"); write one of them everywhere', path, name, other.name,
      exported))
  elseif not other and book.count == MAX_METRICS then
    errors.raise("invalid_config", string.format("%s: a process has at most %d metrics of its own",
      path, MAX_METRICS))
  elseif not other then
    book.metrics[exported] = { kind = kind, name = name }
    book.count = book.count + 1
  end
end

---@param sink titan.SlotSink
---@param kind titan.MetricKind
---@param text string
---@return integer? slot
local function own_slot(sink, kind, text)
  local book = book_of(sink)
  if book.full or #text > key.MAX then
    return nil
  end
  local slot = sink.series(kind, text)
  book.full = slot == nil
  return slot
end

--- The slot of a series of a metric that was declared.
---@param sink titan.SlotSink
---@param kind titan.MetricKind
---@param name string
---@param labels string[] of key.label, in the order of their names
---@return integer
function slots.find(sink, kind, name, labels)
  local known, text = book_of(sink).known[kind], key.text(name, labels)
  if known[text] then
    return known[text]
  end
  local slot = own_slot(sink, kind, text)
  if not slot then
    text = name .. '{overflow="true"}'
    slot = known[text] or sink.series(kind, text, true)
  end
  known[text] = slot
  return slot
end

return slots
