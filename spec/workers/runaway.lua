--- Methods that never end by themselves, each in its own way.

local luv = require "luv"
local titan = require "titan"

local seen = {}

-- It allocates, since under the thread sanitizer a signal comes only at such a call.
local function forever()
  while true do
    local _ = {}
  end
end

local function note(...)
  seen[#seen + 1] = table.concat({ ... }, " ")
end

-- For `ms` of its time, by a clock that goes on.
local function burn(ms)
  local until_ns = luv.hrtime() + ms * 1e6
  repeat until luv.hrtime() >= until_ns
end

local ways = {
  bare = function()
    while true do end
  end,
  plain = forever,
  sort = function()
    table.sort({ 1, 2, 3 }, forever)
  end,
  gsub = function()
    return (("x"):gsub("x", forever))
  end,
  index = function()
    return setmetatable({}, { __index = forever }).anything
  end,
  order = function()
    return setmetatable({}, { __lt = forever }) < {}
  end,
  close = function()
    local _ <close> = setmetatable({}, { __close = forever })
  end,
  create = function()
    local co = coroutine.create(function()
      local inner = coroutine.create(forever)
      local ok, err = coroutine.resume(inner)
      note("inner", tostring(ok), err.code, coroutine.status(inner))
      error(err)
    end)
    local ok, err = coroutine.resume(co)
    note("outer", tostring(ok), err.code, coroutine.status(co))
    error(err)
  end,
  wrap = function()
    for _ in coroutine.wrap(function()
      for i = 1, math.huge do
        coroutine.yield(i)
      end
    end) do
    end
  end,
  wrap_inside = function()
    return coroutine.wrap(forever)()
  end,
  pcall = function()
    local ok, err = pcall(forever)
    note("caught", tostring(ok), err.code)
    error(err)
  end,
  pcall_twice = function()
    pcall(forever)
    note "once"
    forever()
  end,
  closing = function()
    local _ <close> = setmetatable({}, { __close = function(_, err)
      note("closed", err.code)
    end })
    forever()
  end,
  go = function()
    titan.go(forever)
  end,
  go_before = function()
    titan.go(function() end)
    forever()
  end,
  own_limit = function()
    titan.timeout("1h", forever)
  end,
  hooked = function()
    local lines = 0
    debug.sethook(function()
      lines = lines + 1
    end, "l")
    local ok, err = pcall(function()
      while true do
        lines = #{ lines } + lines - 1
      end
    end)
    note("hooked", tostring(ok), err.code, tostring(lines > 0))
    local before = lines
    local _ = before
    debug.sethook()
    note("goes on", tostring(lines > before))
    error(err)
  end,
}

-- What does not end before it is killed.
local stubborn = {
  pcall = function()
    while true do
      pcall(forever)
    end
  end,
  bomb = function()
    return (("a"):rep(30000):find(".-.-.-.-b"))
  end,
  finalizer = function()
    setmetatable({}, { __gc = forever })
    collectgarbage()
  end,
  handler = function()
    xpcall(forever, forever)
  end,
}

return titan.process {
  all_methods_public = true,
  name = "runaway",
  methods = {
    run_away = function(_, way)
      return ways[way]()
    end,
    be_stubborn = function(_, way)
      return stubborn[way]()
    end,
    seen = function()
      local was = seen
      seen = {}
      return table.unpack(was)
    end,
    add = function(_, a, b)
      return a + b
    end,
    burn = function(_, ms)
      burn(ms)
      return "burnt"
    end,
    sleep = function(_, ms)
      titan.sleep(ms)
      return "slept"
    end,
    -- Goes on when its time is over, but not for long.
    ignore = function()
      pcall(forever)
      pcall(forever)
      note "ignored"
    end,
    recurse = function()
      local function deep()
        return 1 + deep()
      end
      return deep()
    end,
    raise_worse = function()
      error(setmetatable({}, { __tostring = function()
        error "worse"
      end }))
    end,
    raise_endless = function()
      error(setmetatable({}, { __tostring = forever }))
    end,
    pass_on = function(_, name, method, way)
      local service = titan.service(name)
      service[method](service, way)
    end,
  },
}
