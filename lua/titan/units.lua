--- Durations and sizes, as people write them and as Titan counts them.
--
-- A duration is counted in whole milliseconds, a size in whole bytes. What is written
-- with a fraction is rounded up, so that half a millisecond never becomes "at once"
-- and a limit is never below what was asked for.

local text = require "titan.text"

local units = {}

---@alias titan.Duration integer|number|string
---  milliseconds, or a string such as "250ms", "1.5s", "5m", "1h"
---@alias titan.Size integer|number|string
---  bytes, or a string such as "10B", "64KB", "512MB", "1GB" (powers of 1024)

---@class titan.units.Quantity
---@field noun string with its article
---@field names table<string, integer> unit -> how much of the base unit it is
---@field limit integer the largest value, in the base unit
---@field limit_text string the largest value as a person would write it
---@field plain string what a bare number counts
---@field examples string

-- A hundred years: even in nanoseconds, and added to a clock, it fits 63 bits.
---@type titan.units.Quantity
local duration = {
  noun = "a duration",
  names = { ms = 1, s = 1000, m = 60 * 1000, h = 60 * 60 * 1000 },
  limit = 876000 * 60 * 60 * 1000,
  limit_text = "876000h",
  plain = "milliseconds",
  examples = '"250ms", "1.5s", "5m" or "1h"',
}

-- The last size that a float holds exactly, since sizes also travel as JSON.
---@type titan.units.Quantity
local size = {
  noun = "a size",
  names = { B = 1, KB = 1 << 10, MB = 1 << 20, GB = 1 << 30 },
  limit = (1 << 53) - 1,
  limit_text = "8388607GB",
  plain = "bytes",
  examples = '"10B", "64KB", "512MB" or "1GB"',
}

-- Keeps fraction * unit below 2^63: ten to the ninth times 2^30.
local MAX_DECIMALS <const> = 9

---@param quantity titan.units.Quantity
---@param value any
---@param why string
---@return nil
---@return string
local function refuse(quantity, value, why)
  return nil, string.format("%s is not %s: it %s; write a number of %s, or a string such as %s",
    text.literal(value), quantity.noun, why, quantity.plain, quantity.examples)
end

---@param quantity titan.units.Quantity
---@param value any
local function refuse_as_too_large(quantity, value)
  return refuse(quantity, value, "is too large, the most is " .. quantity.limit_text)
end

---@param quantity titan.units.Quantity
---@param value number
---@return integer? amount
---@return string? why
local function from_number(quantity, value)
  if value ~= value then
    return refuse(quantity, value, "is not a number")
  elseif value < 0 then
    return refuse(quantity, value, "is negative")
  elseif value == math.huge then
    return refuse(quantity, value, "is not finite")
  elseif value > quantity.limit then
    return refuse_as_too_large(quantity, value)
  end
  return math.ceil(value)
end

---@param written string one that is not digits, perhaps a fraction, and letters
---@return string why
local function malformation(written)
  if written == "" then
    return "is empty"
  elseif written:find("%s") then
    return "holds white space"
  elseif written:find("^%-%d") then
    return "is negative"
  elseif written:find("^%d+$") or written:find("^%d+%.%d+$") then
    return "has no unit"
  end
  return "is not a number followed by a unit"
end

-- The part of `scale` that a decimal fraction stands for, rounded up. In integers,
-- since 1.1 * 1000 as floats is a little above 1100, which rounded up is 1101.
---@param decimals string at most MAX_DECIMALS digits
---@param scale integer
---@return integer
local function fraction_of(decimals, scale)
  if decimals == "" then
    return 0
  end
  local divisor = math.tointeger(10 ^ #decimals)
  return (math.tointeger(tonumber(decimals)) * scale + divisor - 1) // divisor
end

---@param quantity titan.units.Quantity
---@param written string
---@return integer? amount
---@return string? why
local function from_string(quantity, written)
  local whole, unit = written:match("^(%d+)(%a+)$")
  local decimals = ""
  if not whole then
    whole, decimals, unit = written:match("^(%d+)%.(%d+)(%a+)$")
  end
  if not whole then
    return refuse(quantity, written, malformation(written))
  end
  local scale = quantity.names[unit]
  if not scale then
    return refuse(quantity, written, "has the unknown unit " .. text.quoted(unit))
  end
  decimals = decimals:gsub("0+$", "")
  if #decimals > MAX_DECIMALS then
    return refuse(quantity, written, "has more than nine decimals")
  end
  -- Too many digits make a float, which is no integer beyond 2^63.
  local count = math.tointeger(tonumber(whole))
  if not count or count > quantity.limit // scale then
    return refuse_as_too_large(quantity, written)
  end
  local amount = count * scale + fraction_of(decimals, scale)
  if amount > quantity.limit then
    return refuse_as_too_large(quantity, written)
  end
  return amount
end

---@param quantity titan.units.Quantity
---@param value any
---@return integer? amount
---@return string? why
local function parse(quantity, value)
  if type(value) == "number" then
    return from_number(quantity, value)
  elseif type(value) == "string" then
    return from_string(quantity, value)
  end
  return refuse(quantity, value, "is neither a number nor a string")
end

--- A duration in whole milliseconds, fractions rounded up; or nil and why not.
---@param value titan.Duration
---@return integer? milliseconds
---@return string? why
function units.duration(value)
  return parse(duration, value)
end

--- A size in whole bytes, fractions rounded up; or nil and why not.
---@param value titan.Size
---@return integer? bytes
---@return string? why
function units.size(value)
  return parse(size, value)
end

---@param number number
---@param decimals integer
---@return string without needless zeros
local function decimal(number, decimals)
  local digits = string.format("%." .. decimals .. "f", number)
  return decimals > 0 and (digits:gsub("0+$", ""):gsub("%.$", "")) or digits
end

-- Largest first; a unit is used when it shows the value exactly with these decimals.
local DURATION_STEPS <const> = { { "h", 1 }, { "m", 1 }, { "s", 3 }, { "ms", 0 } }

--- A duration for people, exact: `units.duration` reads back the same value.
---@param milliseconds number not negative; a fraction of a millisecond is rounded
---@return string such as "250ms", "1.5s", "75s", "1h"
function units.format_duration(milliseconds)
  local whole = math.floor(milliseconds + 0.5)
  for _, step in ipairs(DURATION_STEPS) do
    local unit, decimals = step[1], step[2]
    local scale = duration.names[unit]
    if whole >= scale and whole * math.tointeger(10 ^ decimals) % scale == 0 then
      return decimal(whole / scale, decimals) .. unit
    end
  end
  return "0ms"
end

local SIZE_STEPS <const> = { "KB", "MB", "GB" }

---@param number number
---@return number rounded to one decimal
local function tenths(number)
  return math.floor(number * 10 + 0.5) / 10
end

--- A size for people, to one decimal of the largest unit that fits.
---@param bytes number not negative
---@return string such as "10B", "64KB", "1.5GB"
function units.format_size(bytes)
  local amount, unit = math.floor(bytes + 0.5), "B"
  for _, next_unit in ipairs(SIZE_STEPS) do
    -- The rounded amount decides, lest a byte less than 1GB be "1024MB".
    if tenths(amount) < 1024 then
      break
    end
    amount, unit = amount / 1024, next_unit
  end
  return decimal(tenths(amount), 1) .. unit
end

return units
