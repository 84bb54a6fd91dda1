-- Methods that are idempotent by key; each says how often it ran, and in which process.
local luv = require "luv"
local titan = require "titan"

-- A line is appended for each time it ran, so that all processes of a test can be counted.
local function note(self, what)
  local file <close> = assert(io.open(self.notes, "a"))
  file:write(what, " ", luv.os_getpid(), "\n")
end

local function run(self, what, ...)
  self.runs = self.runs + 1
  note(self, tostring(what))
  return self.runs, luv.os_getpid(), what, ...
end

local function slowly(self, what)
  local n, pid = run(self, what)
  while not io.open(self.notes .. ".go") do
    titan.sleep(2)
  end
  return n, pid
end

local function by_name(order)
  return order.id
end

return titan.process {
  name = "once", all_methods_public = true,
  init = function(self, options)
    self.notes, self.runs = options.notes, 0
  end,
  methods = {
    default = { idempotent = {}, run },
    short = { idempotent = { ttl = 30 }, run },
    keyed = { idempotent = { key_fn = by_name }, run },
    own = { idempotent = { store = "memory" }, run },
    durable = { idempotent = { store = "sqlite" }, run },
    durable_keyed = { idempotent = { store = "sqlite", key_fn = by_name }, run },
    slow = { idempotent = {}, slowly },
    slow_keyed = { idempotent = { key_fn = tostring }, slowly },
    fails = { idempotent = {}, function(self, what)
      run(self, what)
      error("failed " .. self.runs, 0)
    end },
    nils = { idempotent = {}, function(self)
      run(self, "nils")
      return nil, self.runs, nil
    end },
    untravelling = { idempotent = { key_fn = tostring }, function(self, what)
      run(self, what)
      return print
    end },
    bad_key = { idempotent = { key_fn = function() end }, run },
    raising_key = { idempotent = { key_fn = function() error("no key", 0) end }, run },
    -- Runs, and dies before its answer has left, the first time.
    dies_after = { idempotent = { key_fn = tostring }, function(self, what)
      note(self, what)
      if not io.open(self.notes .. ".died") then
        io.open(self.notes .. ".died", "w"):close()
        luv.kill(luv.os_getpid(), "sigkill")
      end
      return "answered"
    end },
    dies_while = { idempotent = {}, function(self, what)
      note(self, what)
      if not io.open(self.notes .. ".died") then
        io.open(self.notes .. ".died", "w"):close()
        luv.kill(luv.os_getpid(), "sigkill")
      end
      return "answered"
    end },
    calls_default = function(self, what)
      return self:default(what)
    end,
    calls_service = function(_, name, what, key)
      local proxy = titan.service(name)
      return (key and proxy:with { idempotency_key = key } or proxy):default(what)
    end,
    repeatable = { idempotent = true, run },
    pid = function()
      return luv.os_getpid()
    end,
  },
}
