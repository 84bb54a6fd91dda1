--- Compiled schemas put to use: a function that checks a whole list of arguments or results.

local text = require "titan.text"

local values = {}

local select <const> = select

--- Called for a value that does not fit; raises.
--- The index of the value, then what titan.Check returned.
---@alias titan.Misfit
---| fun(i: integer, at: string, expected: string?, given: any, why: string?, fault: titan.Fault?)

---@param rest titan.Check
---@param from integer
---@param misfit titan.Misfit
---@return fun(...)
local function each_of(rest, from, misfit)
  return function(...)
    for index = 1, select("#", ...) do
      local at, expected, given, why, fault = rest((select(index, ...)))
      if at then
        misfit(from + index - 1, at, expected, given, why, fault)
      end
    end
  end
end

-- One after the other as named parameters, four at a time: a table for them would cost more than
-- checking them.
---@param checks titan.Check[]
---@param rest titan.Check
---@param from integer
---@param misfit titan.Misfit
---@return fun(...)
local function four_of(checks, rest, from, misfit)
  local first <const>, second <const>, third <const>, fourth <const> = checks[from] or rest,
    checks[from + 1] or rest, checks[from + 2] or rest, checks[from + 3] or rest
  local has_more <const> = checks[from + 4] ~= nil
  local others <const> = has_more and four_of(checks, rest, from + 4, misfit)
    or each_of(rest, from + 4, misfit)
  return function(a, b, c, d, ...)
    local at, expected, given, why, fault = first(a)
    if at then
      misfit(from, at, expected, given, why, fault)
    end
    at, expected, given, why, fault = second(b)
    if at then
      misfit(from + 1, at, expected, given, why, fault)
    end
    at, expected, given, why, fault = third(c)
    if at then
      misfit(from + 2, at, expected, given, why, fault)
    end
    at, expected, given, why, fault = fourth(d)
    if at then
      misfit(from + 3, at, expected, given, why, fault)
    end
    if has_more or select("#", ...) > 0 then
      others(...)
    end
  end
end

-- Most methods have one argument or two, and one result.
---@param first titan.Check
---@param second titan.Check
---@param rest titan.Check
---@param misfit titan.Misfit
---@return fun(...)
local function two_of(first, second, rest, misfit)
  local others <const> = each_of(rest, 3, misfit)
  return function(a, b, ...)
    local at, expected, given, why, fault = first(a)
    if at then
      misfit(1, at, expected, given, why, fault)
    end
    at, expected, given, why, fault = second(b)
    if at then
      misfit(2, at, expected, given, why, fault)
    end
    if select("#", ...) > 0 then
      others(...)
    end
  end
end

---@param count integer
---@param noun string
---@return titan.Check of those there should not be; nil stands for none
local function no_more_than(count, noun)
  local description <const> = string.format("no more than %d %s%s", count, noun,
    count == 1 and "" or "s")
  return function(value)
    if value ~= nil then
      return "", description, value
    end
  end
end

--- A function that calls `misfit` for the first value that does not fit. Of values that are missing
--- each is nil; a nil behind the last one counts as missing.
---@param checks titan.Check[]
---@param rest? titan.Check of those behind, which must take nil; without it there may be none
---@param noun "argument"|"result"
---@param misfit titan.Misfit
---@return fun(...)
function values.verifier(checks, rest, noun, misfit)
  rest = rest or no_more_than(#checks, noun)
  if #checks <= 2 then
    return two_of(checks[1] or rest, checks[2] or rest, rest, misfit)
  end
  return four_of(checks, rest, 1, misfit)
end

--- What does not fit, in a sentence: `args[2].width: expected integer in 1..10000, got "wide"`.
---@param path string
---@param expected string
---@param given any
---@param why? string
---@return string
function values.sentence(path, expected, given, why)
  if why and given == nil then
    return path .. ": " .. why
  end
  return string.format("%s: %s, got %s", path, why or "expected " .. expected, text.literal(given))
end

return values
