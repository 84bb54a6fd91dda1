--- `metric = "images.resized"` or `metric = { counter =, histogram =, labels = }`: counts the
--- method's calls and measures how long they take, under names of one's own.
--
-- Calls that returned, not those that raised: the automatic metrics count the errors of each
-- method. As metric is outside of all the others, a call that the cache or a fallback answered
-- counts, and the time is what the caller waited for. Without labels that are functions the series
-- is there, with 0, once the worker is.

local core = require "titan.core"
local errors = require "titan.errors"
local foreign = require "titan.class.foreign"
local key = require "titan.metric.key"
local schema = require "titan.schema"
local slots = require "titan.metric.slots"
local sorted = require "titan.sorted"
local text = require "titan.text"

local MAX_LABELS <const> = 8
local MAX_LABEL_NAME <const> = 32

-- Series that a metric remembers by the values of its labels before it begins anew.
local MAX_REMEMBERED <const> = 1024

---@class titan.Metric
---@field counter? string
---@field histogram? string
---@field labels? table<string, string|fun(...): any>

---@type table<string, titan.Schema>
local fields = {
  counter = { kind = "string", doc = "the name of what counts the calls that returned" },
  histogram = { kind = "string", doc = "the name of what keeps how long they took, in ms" },
  labels = {
    kind = "any", type = "table", allowed = "a table of labels by name",
    doc = "strings, or functions of the arguments, without self, that return one",
  },
}

---@param name string
---@return titan.Metric?
---@return string? why
local function counter_of(name)
  local why = key.bad_name(name)
  if why then
    return nil, why .. ", given " .. text.given(name)
  end
  return { counter = name }
end

---@param path string
---@param name? string
local function check_name(path, name)
  local why = name and key.bad_name(name)
  if why then
    schema.refuse(path, why .. ", given " .. text.given(name), name, "another name")
  end
end

---@param path string
---@param label any
---@param value any
local function check_label(path, label, value)
  local why = key.bad_label(label)
  if not why and #label > MAX_LABEL_NAME then
    why = string.format("a label's name has at most %d bytes", MAX_LABEL_NAME)
  end
  if why then
    schema.refuse(path, why, label, "another name")
  elseif type(value) ~= "string" and type(value) ~= "function" then
    schema.refuse(path, "expected a string, or a function that returns one, given "
      .. text.given(value), value, "a string or a function")
  elseif value == "" then
    schema.refuse(path, "an empty label is none; leave it out", value, "a string or a function")
  elseif type(value) == "string" and key.clean(value) ~= value then
    schema.refuse(path, string.format("a label is printable UTF-8 of at most %d bytes",
      key.MAX_VALUE), value, "a string or a function")
  end
end

-- The labels in the order of their names: a text, or where its function is to go.
---@param labels? table<string, any>
---@return string[] names sorted
---@return { name: string, text: string?, fn: function? }[]
local function ordered(labels)
  local names, list = sorted.keys(labels or {}), {}
  for index, name in ipairs(names) do
    local value = labels[name]
    local is_text = type(value) == "string"
    list[index] = {
      name = name, text = is_text and key.label(name, value) or nil, fn = not is_text and value,
    }
  end
  return names, list
end

-- The room that is left in a key must do for the labels that are the same in all calls.
---@param path string
---@param name? string
---@param list { text: string? }[]
local function check_room(path, name, list)
  local texts = {}
  for _, label in ipairs(list) do
    texts[#texts + 1] = label.text
  end
  if name and #key.text(name, texts) > key.MAX then
    schema.refuse(path, string.format("name and labels have more than %d bytes together", key.MAX),
      name, "something shorter")
  end
end

---@param value titan.Metric
---@param path string
local function check(value, path)
  check_name(path .. ".counter", value.counter)
  check_name(path .. ".histogram", value.histogram)
  if not value.counter and not value.histogram then
    schema.refuse(path, "nothing is counted or measured; give the name of a counter, of a "
      .. "histogram, or both", value, "counter = NAME, histogram = NAME")
  elseif value.counter and value.histogram
    and key.exported(value.counter) == key.exported(value.histogram) then
    schema.refuse(path .. ".histogram", string.format('"%s" is the name of the counter already; '
      .. 'use another one, such as "%s.ms"', value.histogram, value.counter), value.histogram,
      "another name")
  end
  for _, name in ipairs(sorted.keys(value.labels or {})) do
    check_label(text.join(path .. ".labels", name), name, value.labels[name])
  end
  local names, list = ordered(value.labels)
  if #names > MAX_LABELS then
    schema.refuse(path .. ".labels", string.format("expected at most %d labels, given %d",
      MAX_LABELS, #names), value.labels, "fewer labels")
  end
  check_room(path .. ".counter", value.counter, list)
  check_room(path .. ".histogram", value.histogram, list)
end

-- Where a call is noted -------------------------------------------------------------------------

-- A series of the counter and one of the histogram with the same labels.
---@class titan.MetricNode
---@field counter? integer
---@field histogram? integer
---@field next? table<any, titan.MetricNode> by the value of the next label that is a function
---@field before? titan.MetricNode
---@field value? any of the last label so far

---@param sink titan.SlotSink
---@param value titan.Metric
---@param labels string[]
---@param node titan.MetricNode
---@return titan.MetricNode
local function settle(sink, value, labels, node)
  node.counter = value.counter and slots.find(sink, "counter", value.counter, labels)
  node.histogram = value.histogram and slots.find(sink, "histogram", value.histogram, labels)
  return node
end

-- Stands for a label that is left out.
local ABSENT <const> = {}

-- What a label's function returned, as a key of `next`.
---@param value any
---@param who string the function
---@return any
local function plain(value, who)
  local kind = type(value)
  if value == nil or value == "" then
    return ABSENT
  elseif kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
    errors.raise("remote_error", string.format("%s returned a %s; it must return a string, a "
      .. "number, a boolean or nil", who, kind))
  elseif value ~= value then
    return "nan" -- which is no key as a number
  end
  return value
end

-- The labels on the way to a node, as texts.
---@param list { name: string, text: string?, fn: function? }[]
---@param node titan.MetricNode the last
---@return string[]
local function texts_of(list, node)
  local texts = {}
  for index = #list, 1, -1 do
    local label = list[index]
    if label.text then
      table.insert(texts, 1, label.text)
    else
      if node.value ~= ABSENT then
        table.insert(texts, 1, key.label(label.name, key.clean(tostring(node.value))))
      end
      node = node.before
    end
  end
  return texts
end

-- A function that finds the node of a call by its arguments: a step from node to node for each
-- label that is a function. Nothing is made for values that were there before.
---@param sink titan.SlotSink
---@param value titan.Metric
---@param list { name: string, text: string?, fn: function? }[]
---@param who string
---@return fun(...): titan.MetricNode
local function finder(sink, value, list, who)
  local functions, names, root, made = {}, {}, { next = {} }, 0
  for _, label in ipairs(list) do
    if label.fn then
      functions[#functions + 1] = label.fn
      names[#names + 1] = who .. label.name
    end
  end
  local last <const> = #functions

  local function grown(node, index, label)
    label = plain(label, names[index])
    local child = node.next[label]
    if child then
      return child
    end
    child = { before = node, value = label, next = index < last and {} or nil }
    if made == MAX_REMEMBERED then
      root, made = { next = {} }, 0
    end
    node.next[label], made = child, made + 1
    return index < last and child or settle(sink, value, texts_of(list, child), child)
  end

  return function(...)
    local node = root
    for index = 1, last do
      local ok, label = pcall(functions[index], ...)
      if not ok then
        foreign.raise(names[index], label)
      end
      node = node.next[label] or grown(node, index, label)
    end
    return node
  end
end

local monotonic_ms <const> = core.monotonic_ms

---@param sink titan.SlotSink
---@param counter integer
---@param inner titan.MethodFn
---@return titan.MethodFn
local function counted(sink, counter, inner)
  local add <const> = sink.series_add
  local function noted(...)
    add(counter)
    return ...
  end
  return function(...)
    return noted(inner(...))
  end
end

---@param sink titan.SlotSink
---@param node titan.MetricNode
---@param inner titan.MethodFn
---@return titan.MethodFn
local function measured(sink, node, inner)
  local took <const> = sink.series_took
  local counter <const>, histogram <const> = node.counter, node.histogram
  local function noted(started, ...)
    took(histogram, started, counter)
    return ...
  end
  return function(...)
    local started = monotonic_ms()
    return noted(started, inner(...))
  end
end

---@param sink titan.SlotSink
---@param find fun(...): titan.MetricNode
---@param inner titan.MethodFn
---@return titan.MethodFn
local function noted_by_arguments(sink, find, inner)
  local add <const>, took <const> = sink.series_add, sink.series_took
  local function noted(node, started, ...)
    if started then
      took(node.histogram, started, node.counter)
    else
      add(node.counter)
    end
    return ...
  end
  return function(self, ...)
    local node = find(...)
    local started = node.histogram and monotonic_ms()
    return noted(node, started, inner(self, ...))
  end
end

---@type titan.Annotation
return {
  schema = {
    kind = "one_of", allowed = "the name of a counter, or a table",
    of = {
      { kind = "string", convert = counter_of, allowed = "the name of a counter" },
      { kind = "table", optional = true, fields = fields },
    },
    doc = "what counts the calls of the method and keeps how long they take",
  },
  check = check,
  wrap = function(inner, value, place)
    local who = string.format("%s.methods.%s.metric", place.class, place.method)
    for _, kind in ipairs { "counter", "histogram" } do
      if value[kind] then
        slots.declare(kind, value[kind], who .. "." .. kind)
      end
    end
    local sink, _, list = slots.sink(), ordered(value.labels)
    local texts = {}
    for index, label in ipairs(list) do
      texts[index] = label.text
      if label.fn then
        local prefix = string.format("%s.%s: metric.labels.", place.class, place.method)
        return noted_by_arguments(sink, finder(sink, value, list, prefix), inner)
      end
    end
    local node = settle(sink, value, texts, {})
    return node.histogram and measured(sink, node, inner) or counted(sink, node.counter, inner)
  end,
}
