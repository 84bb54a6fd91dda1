--- The text under which a series is known: `images.resized{format="png",region="eu"}`.
--
-- A name, then its labels in the order of their names, their values escaped as in the text format
-- of Prometheus (https://prometheus.io/docs/instrumenting/exposition_formats/): `\\`, `\"`, `\n`.
-- The same name and labels always make the same text.

local key = {}

--- Bytes of a key; what is longer has no series of its own (SERIES_KEY of core/worker/series.h).
key.MAX = 239

--- Bytes of a label's value; the rest is cut.
key.MAX_VALUE = 64

local NAME <const> = "^[A-Za-z_:][A-Za-z0-9_:.]*$"
local LABEL <const> = "^[A-Za-z_][A-Za-z0-9_]*$"
local MAX_NAME <const> = 100

--- Why this is no name of a metric, or nil.
---@param name string
---@return string? why
function key.bad_name(name)
  if #name > MAX_NAME then
    return string.format("a metric's name has at most %d bytes, this one has %d", MAX_NAME, #name)
  elseif not name:find(NAME) then
    return 'a metric\'s name is letters, digits, "_", ":" and ".", and begins with none of digits '
      .. "and dots"
  end
end

--- Why this is no name of a label, or nil.
---@param name any
---@return string? why
function key.bad_label(name)
  if type(name) ~= "string" or not name:find(LABEL) then
    return 'a label\'s name is letters, digits and "_", and does not begin with a digit'
  elseif name:find "^__" then
    return "names that begin with two underscores belong to the system that collects the metrics"
  elseif name == "overflow" then
    return "the label is Titan's own, for series that take in others; use another name"
  end
end

--- The name as Prometheus and OpenTelemetry take it: a dot becomes "_".
---@param name string
---@return string
function key.exported(name)
  return (name:gsub("%.", "_"))
end

--- A label's value that can be shown everywhere: no control characters but the newline, UTF-8, at
--- most 64 bytes.
---@param value string
---@return string
function key.clean(value)
  if #value <= key.MAX_VALUE and not value:find "[^\x20-\x7E]" then
    return value
  elseif not utf8.len(value) then
    value = value:gsub("[\x80-\xFF]", "?")
  end
  if #value > key.MAX_VALUE then
    value = value:sub(1, key.MAX_VALUE + 1):gsub("[\xC0-\xFF]?[\x80-\xBF]*$", "")
    value = value:sub(1, key.MAX_VALUE)
  end
  return (value:gsub("[\0-\9\11-\31\127]", "?"))
end

local escapes <const> = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

--- One label in the text.
---@param label string
---@param value string clean
---@return string such as `region="eu"`
function key.label(label, value)
  if value:find '[\\"\n]' then
    value = value:gsub('[\\"\n]', escapes)
  end
  return label .. '="' .. value .. '"'
end

---@param name string
---@param labels string[] what key.label returned, in the order of their names
---@return string
function key.text(name, labels)
  return #labels == 0 and name or name .. "{" .. table.concat(labels, ",") .. "}"
end

-- Reading ------------------------------------------------------------------------------------

local unescapes <const> = { ["\\"] = "\\", ['"'] = '"', n = "\n" }

-- The value that begins at `at`, after its quote.
---@param text string
---@param at integer
---@return string? value nil when it has no end
---@return integer? after its closing quote
local function read_value(text, at)
  local stop = at
  while true do
    stop = text:find('["\\]', stop)
    if not stop then
      return nil
    elseif text:byte(stop) == 34 then
      return (text:sub(at, stop - 1):gsub("\\(.)", unescapes)), stop + 1
    end
    stop = stop + 2
  end
end

--- What a text says; nil for what key.text has not made: it comes from a worker's memory.
---@param text string
---@return string? name
---@return table<string, string>? labels
function key.parse(text)
  local name, at = text:match "^([A-Za-z_:][A-Za-z0-9_:.]*)()"
  if not name or text:find "%c" then
    return nil
  end
  local labels, before = {}, "{"
  while at <= #text do
    local label, start = text:match('^([A-Za-z_][A-Za-z0-9_]*)="()', at + 1)
    local value, after
    if label and text:sub(at, at) == before then
      value, after = read_value(text, start)
    end
    if not value then
      return nil
    end
    labels[label], at, before = value, after, ","
    if text:sub(at) == "}" then
      return name, labels
    end
  end
  if before == "{" then
    return name, labels
  end
end

return key
