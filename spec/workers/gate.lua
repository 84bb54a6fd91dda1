--- Lets calls wait until somebody opens it.

local titan = require "titan"

-- Counts a call that waits, until its variable goes out of scope.
local function counted(self)
  self.waiting = self.waiting + 1
  return setmetatable({}, {
    __close = function(_, err)
      self.waiting = self.waiting - 1
      self.given_up = self.given_up + (err and 1 or 0)
    end,
  })
end

return titan.process {
  all_methods_public = true,
  init = function(self)
    self.waiting, self.given_up = 0, 0
    self.closed = titan.go(titan.sleep, "1h")
  end,
  methods = {
    pass = function(self, ...)
      local _ <close> = counted(self)
      local _, err = pcall(self.closed.await, self.closed)
      if not self.closed:done() then
        error(err, 0) -- it was the call that was cancelled
      end
      return ...
    end,
    open = function(self)
      self.closed:cancel()
    end,
    count = function(self)
      return self.waiting
    end,
    count_given_up = function(self)
      return self.given_up
    end,
    rest = function(_, duration)
      titan.sleep(duration)
    end,
  },
}
