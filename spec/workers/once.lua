-- Methods that are idempotent by key; each says how often it ran, and in which process.
local body = require "support.body"
local luv = require "luv"
local titan = require "titan"

-- A line is appended for each time it ran, so that all processes of a test can be counted.
local function note(self, what)
  local file <close> = assert(io.open(self.notes, "a"))
  file:write(what, " ", math.tointeger(luv.os_getpid()), "\n")
end

local function run(self, what, ...)
  self.runs = self.runs + 1
  note(self, tostring(what))
  return self.runs, math.tointeger(luv.os_getpid()), what, ...
end

local function slowly(self, what)
  local n, pid = run(self, what)
  while not io.open(self.notes .. ".go") do
    titan.sleep(2)
  end
  return n, pid
end

local function fails(self, what)
  run(self, what)
  error("failed " .. self.runs, 0)
end

local function nils(self)
  run(self, "nils")
  return nil, self.runs, nil, nil
end

local function dies(self, what)
  note(self, what)
  if not io.open(self.notes .. ".died") then
    io.open(self.notes .. ".died", "w"):close()
    body.die()
  end
  return "answered", math.tointeger(luv.os_getpid())
end

local function nested(self, what, depth)
  run(self, what)
  local value = depth
  for _ = 1, depth do
    value = { value }
  end
  return value
end

local function by_name(order)
  return order.id
end

return titan.process {
  name = "once", all_methods_public = true,
  annotations = {
    again = {
      schema = { kind = "boolean" },
      wrap = function(inner)
        return function(self, ...)
          local ok, result = pcall(inner, self, ...)
          return ok and result or inner(self, ...)
        end
      end,
    },
    dying = {
      schema = { kind = "boolean" },
      wrap = function(inner)
        return function(self, ...)
          local n, pid, what = inner(self, ...)
          -- What was sent has been read when the manager answers what is sent after it.
          titan.service("once"):pid()
          if not io.open(self.notes .. ".died") then
            io.open(self.notes .. ".died", "w"):close()
            body.die()
          end
          return n, pid, what
        end
      end,
    },
  },
  init = function(self, options)
    self.notes, self.runs = options.notes, 0
  end,
  methods = {
    default = { idempotent = {}, run },
    short = { idempotent = { ttl = 20 }, run },
    short_keyed = { idempotent = { ttl = 20, key_fn = tostring }, run },
    short_durable = { idempotent = { ttl = 20, store = "sqlite" }, run },
    short_own = { idempotent = { ttl = 20, store = "memory" }, run },
    keyed = { idempotent = { key_fn = by_name }, run },
    own = { idempotent = { store = "memory" }, run },
    durable = { idempotent = { store = "sqlite" }, run },
    durable_keyed = { idempotent = { store = "sqlite", key_fn = by_name }, run },
    slow = { idempotent = {}, slowly },
    slow_durable = { idempotent = { store = "sqlite" }, slowly },
    slow_durable_keyed = { idempotent = { store = "sqlite", key_fn = tostring }, slowly },
    slow_keyed = { idempotent = { key_fn = tostring }, slowly },
    fails = { idempotent = {}, fails },
    fails_keyed = { idempotent = { key_fn = tostring }, fails },
    fails_durable = { idempotent = { store = "sqlite" }, fails },
    fails_own = { idempotent = { store = "memory" }, fails },
    nils = { idempotent = {}, nils },
    nils_keyed = { idempotent = { key_fn = function() return 1 end }, nils },
    nils_durable = { idempotent = { store = "sqlite" }, nils },
    untravelling = { idempotent = { key_fn = tostring }, function(self, what)
      run(self, what)
      return print
    end },
    bad_key = { idempotent = { key_fn = function() end }, run },
    raising_key = { idempotent = { key_fn = function() error("no key", 0) end }, run },
    -- Dies while it runs, the first time.
    dies = { idempotent = {}, dies },
    dies_keyed = { idempotent = { key_fn = tostring }, dies },
    dies_durable = { idempotent = { store = "sqlite" }, dies },
    dies_own = { idempotent = { store = "memory" }, dies },
    -- Runs and is remembered, and dies before its answer has left, the first time.
    dies_after = { idempotent = { key_fn = tostring }, dying = true, run },
    dies_after_durable = {
      idempotent = { store = "sqlite", key_fn = tostring }, dying = true, run,
    },
    deep = { idempotent = {}, nested },
    deep_keyed = { idempotent = { key_fn = tostring }, nested },
    falls_back = {
      idempotent = {}, fallback = function()
        return "instead"
      end,
      function(self, what)
        run(self, what)
        if not io.open(self.notes .. ".go") then
          error("not yet", 0)
        end
        return "well"
      end,
    },
    -- Raises every other time, and is called again at once by the annotation.
    persists = { idempotent = {}, again = true, function(self, what)
      if run(self, what) % 2 == 1 then
        error("this time", 0)
      end
      return "in the end"
    end },
    -- Calls itself without the caller's key, and another.
    nests = { idempotent = {}, function(self, what)
      local n = run(self, what)
      return n, (self:default(what)), (self:keyed { id = what })
    end },
    descends = { idempotent = {}, function(self, n)
      run(self, n)
      return n == 0 and 0 or self:descends(n - 1)
    end },
    leaves = { idempotent = {}, function(self, what)
      run(self, what)
      if what == "first" then
        titan.go(function()
          titan.sleep(1)
          self:leaves "second"
        end)
        error("fails", 0)
      end
    end },
    calls_default = function(self, what)
      return self:default(what)
    end,
    calls_service = function(_, name, method, key, ...)
      local proxy = titan.service(name)
      proxy = key and proxy:with { idempotency_key = key } or proxy
      return proxy[method](proxy, ...)
    end,
    repeatable = { idempotent = true, run },
    pid = function()
      return math.tointeger(luv.os_getpid())
    end,
  },
}
