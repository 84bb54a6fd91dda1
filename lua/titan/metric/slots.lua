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

local slots = {}

---@alias titan.MetricKind "counter"|"histogram"

local MAX_METRICS <const> = 64

-- By the name under which they are exported: kind, and the name as it was written.
---@type table<string, { kind: titan.MetricKind, name: string }>
local metrics = {}
local metric_count = 0

-- Slots by text.
---@type table<titan.MetricKind, table<string, integer>>
local known = { counter = {}, histogram = {} }
local full = false

--- A metric of this process. Raises `invalid_config` when the name means another one already, in a
--- method of the same class say.
---@param kind titan.MetricKind
---@param name string
---@param path string
function slots.declare(kind, name, path)
  local exported = key.exported(name)
  local other = metrics[exported]
  if other and other.kind ~= kind then
    errors.raise("invalid_config", string.format('%s: "%s" is the name of a %s already; one name '
      .. "is one kind of metric, use another one", path, other.name, other.kind))
  elseif other and other.name ~= name then
    errors.raise("invalid_config", string.format('%s: "%s" and "%s" are the same name where '
      .. 'metrics are collected ("%s"); write one of them everywhere', path, name, other.name,
      exported))
  elseif not other and metric_count == MAX_METRICS then
    errors.raise("invalid_config", string.format("%s: a process has at most %d metrics of its own",
      path, MAX_METRICS))
  elseif not other then
    metrics[exported] = { kind = kind, name = name }
    metric_count = metric_count + 1
  end
end

---@param kind titan.MetricKind
---@param text string
---@return integer? slot
local function own_slot(kind, text)
  if full or #text > key.MAX then
    return nil
  end
  local slot = core.series(kind, text)
  full = slot == nil
  return slot
end

--- The slot of a series of a metric that was declared.
---@param kind titan.MetricKind
---@param name string
---@param labels string[] of key.label, in the order of their names
---@return integer
function slots.find(kind, name, labels)
  local text = key.text(name, labels)
  if known[kind][text] then
    return known[kind][text]
  end
  local slot = own_slot(kind, text)
  if not slot then
    text = name .. '{overflow="true"}'
    slot = known[kind][text] or core.series(kind, text, true)
  end
  known[kind][text] = slot
  return slot
end

return slots
