--- Gives back what it is given.

local titan = require "titan"

-- A value as this worker sees it, exactly: floats in hexadecimal, strings with escapes.
local function shown(value)
  local kind = type(value)
  if kind == "number" then
    return math.type(value) .. " " .. string.format("%q", value)
  elseif kind == "string" then
    return string.format("%q", value)
  end
  return kind == "table" and "table" or tostring(value)
end

return titan.process {
  all_methods_public = true,
  methods = {
    echo = function(_, ...)
      return ...
    end,
    count = function(_, ...)
      return select("#", ...)
    end,
    shown = function(_, ...)
      local words = {}
      for i = 1, select("#", ...) do
        words[i] = shown((select(i, ...)))
      end
      return table.concat(words, ", ")
    end,
    length = function(_, text)
      return #text
    end,
    letters = function(_, count)
      return ("x"):rep(count)
    end,
    numbers = function(_, count)
      local numbers = {}
      for i = 1, count do
        numbers[i] = i
      end
      return numbers
    end,
    calls = function(self)
      self.counted = (self.counted or 0) + 1
      return self.counted
    end,
  },
}
