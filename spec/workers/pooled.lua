--- A worker of a pool: says who it is, takes its time, dies when it is told to.

local body = require "support.body"
local luv = require "luv"
local titan = require "titan"

return titan.process {
  name = "pooled",
  all_methods_public = true,
  init = function(self, options)
    self.options = options
    if options.broken and luv.fs_stat(options.broken) then
      error "broken on purpose"
    end
  end,
  methods = {
    echo = function(_, ...)
      return ...
    end,
    pid = function()
      return body.identity()
    end,
    who = function(self)
      return self.name
    end,
    option = function(self, name)
      return self.options[name]
    end,
    -- Answers when there is such a file.
    wait_for = function(_, path)
      while not luv.fs_stat(path) do
        titan.sleep(2)
      end
      return body.identity()
    end,
    sleep = function(_, duration)
      titan.sleep(duration)
      return body.identity()
    end,
    work = {
      idempotent = true,
      function(_, value, duration)
        titan.sleep(duration or 1)
        return value
      end,
    },
    risky = function(_, value, duration)
      titan.sleep(duration or 1)
      return value
    end,
    hang = function()
      while true do
      end
    end,
    -- Keeps its processor for so many ms.
    burn = function(_, ms)
      local start = luv.hrtime()
      while luv.hrtime() - start < ms * 1e6 do
      end
      return body.identity()
    end,
    die = function()
      body.die()
    end,
    deadly_work = {
      idempotent = true,
      function()
        body.die()
      end,
    },
    leave = function()
      os.exit(0)
    end,
    fail = function()
      error "on purpose"
    end,
    grow = function(self, bytes)
      self.grown = ("x"):rep(bytes)
      return body.identity()
    end,
    warm = function(self)
      self.warmups = (self.warmups or 0) + 1
    end,
    warmed = function(self)
      return self.warmups
    end,
    metrics = function(_, ...)
      return "the worker's own", ...
    end,
  },
}
