--- Streams: of numbers, of bytes, slow ones, endless ones, ones that fail.

local luv = require "luv"
local titan = require "titan"

local function numbers(count)
  return function(_, i)
    i = (i or 0) + 1
    return i <= count and i or nil
  end
end

return titan.process {
  name = "streaming",
  all_methods_public = true,
  init = function(self)
    self.opened, self.closed, self.made, self.closing_error = 0, 0, 0, nil
  end,
  methods = {
    count = { stream = true, function(_, n)
      return numbers(n)
    end },
  },
}
