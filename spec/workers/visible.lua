--- Public methods and private ones.

local titan = require "titan"

return titan.process {
  methods = {
    add = {
      public = true,
      function(_, a, b)
        return a + b
      end,
    },
    count_words = {
      public = true,
      function(self, text)
        return #self:split(text)
      end,
    },
    split = function(_, text)
      local words = {}
      for word in text:gmatch "%S+" do
        words[#words + 1] = word
      end
      return words
    end,
    secret = { public = false, print },
  },
}
