-- A worker: reads files line by line, for whoever takes the lines.
local titan = require "titan"

-- Ends with its loop, wherever that ends.
local function counted(self, file)
  self.open = self.open + 1
  return setmetatable({}, {
    __close = function()
      file:close()
      self.open = self.open - 1
    end,
  })
end

return titan.process {
  name = "scanner",
  init = function(self)
    self.open, self.bytes = 0, 0
  end,
  methods = {
    -- The lines of a file, with their numbers: what a generic `for` takes, here as there.
    lines = {
      public = true, stream = true,
      function(self, path)
        local file = assert(io.open(path))
        self.bytes = 0
        return function(_, number)
          local line = file:read "L"
          if line then
            self.bytes = self.bytes + #line
            return (number or 0) + 1, line
          end
        end, nil, nil, counted(self, file)
      end,
    },
    -- The method inside its own worker is the plain iterator.
    count = {
      public = true,
      function(self, path)
        local lines = 0
        for number in self:lines(path) do
          lines = number
        end
        return lines
      end,
    },
    -- How many bytes it has read, and how many files are open.
    progress = {
      public = true,
      function(self)
        return self.bytes, self.open
      end,
    },
  },
}
