--- Says of itself what it was told to say.

local luv = require "luv"
local titan = require "titan"

local answers = {
  nothing = function() end,
  yes = function()
    return true
  end,
  well = function()
    return { status = "healthy", queue_depth = 3 }
  end,
  so_so = function()
    return { status = "degraded", reason = "the cache is cold", misses = 7 }
  end,
  ill = function()
    return { status = "unhealthy", message = "the disk is full", free = 0 }
  end,
  no = function()
    return false, "no connection"
  end,
  idiom = function()
    return nil, "no such file"
  end,
  nonsense = function()
    return 42
  end,
  statusless = function()
    return { queue_depth = 3 }
  end,
  unknown = function()
    return { status = "splendid" }
  end,
  huge = function()
    return { status = "healthy", text = ("x"):rep(10000) }
  end,
  raise = function()
    error "the probe broke"
  end,
  wait = function()
    titan.sleep "1h"
  end,
}

return titan.process {
  name = "patient",
  init = function(self, options)
    self.says, self.calm = options.says or "well", options.calm or "yes"
    self.asked = 0
  end,
  methods = {
    how = { health_check = true, function(self)
      self.asked = self.asked + 1
      return answers[self.says]()
    end },
    other = { health_check = true, public = true, function(self)
      return answers[self.calm]()
    end },
    say = { public = true, function(self, says)
      self.says = says
    end },
    count = { public = true, function(self)
      return self.asked
    end },
    burn = { public = true, function(_, ms)
      local until_ns = luv.hrtime() + ms * 1e6
      repeat until luv.hrtime() >= until_ns
      return ms
    end },
    leave = { public = true, function(_)
      titan.go(function()
        titan.sleep(1)
        titan.sleep(1)
        os.exit(0)
      end)
    end },
  },
}
