-- A worker: counts the words of one file at a time.
local titan = require "titan"

return titan.process {
  name = "counter",
  version = "1.0.0",
  init = function(self)
    self.files = 0
  end,
  methods = {
    -- Returns the number of lines, of words, and how often each word occurs.
    count = {
      public = true,
      function(self, path)
        local lines, words, times = 0, 0, {}
        for line in io.lines(path) do
          lines = lines + 1
          for word in line:lower():gmatch "%a+" do
            words = words + 1
            times[word] = (times[word] or 0) + 1
          end
        end
        self.files = self.files + 1
        return lines, words, times
      end,
    },
    -- Never comes back by itself: there to be killed.
    ponder = {
      public = true,
      function()
        io.stderr:write "pondering the meaning of words\n"
        titan.sleep "1h"
      end,
    },
    report = {
      on_shutdown = true,
      function(self)
        print(string.format("counted %d files", self.files))
      end,
    },
  },
}
