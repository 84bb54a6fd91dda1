--- Does what a worker of any isolation must survive, or must die of alone.

local luv = require "luv"
local titan = require "titan"

local kept = {}

-- It allocates, since under the thread sanitizer a signal comes only at such a call.
local function forever()
  while true do
    local _ = {}
  end
end

local function fill(list)
  while true do
    list[#list + 1] = ("x"):rep(64 * 1024) .. #list
  end
end

-- What `begin` hands to the function that it is given, as soon as it does.
local function awaited(begin)
  local got
  begin(function(...)
    got = table.pack(...)
  end)
  repeat
    titan.sleep(1)
  until got
  return table.unpack(got, 1, got.n)
end

local recursions = {
  lua = function()
    local function deep()
      return 1 + deep()
    end
    return deep()
  end,
  gsub = function()
    local function deep()
      return (("x"):gsub("x", deep))
    end
    return deep()
  end,
  metamethod = function()
    local t = setmetatable({}, {})
    getmetatable(t).__index = function(_, key)
      return t[key + 1]
    end
    return t[1]
  end,
  handler = function()
    local function handler()
      error "again"
    end
    local ok, err = xpcall(error, handler, "once")
    error(tostring(ok) .. tostring(err))
  end,
}

local loops = {
  bare = function()
    while true do end
  end,
  plain = forever,
  -- Each error is caught, and it goes on; also one that is raised between two calls of pcall.
  pcall = function()
    local function stubborn()
      while true do
        pcall(forever)
      end
    end
    while true do
      pcall(pcall, stubborn)
    end
  end,
  coroutine = function()
    while true do
      coroutine.wrap(pcall)(forever)
    end
  end,
  finalizer = function()
    setmetatable({}, { __gc = forever })
    collectgarbage()
  end,
  -- Matching takes hours, in C.
  bomb = function()
    return (("a"):rep(30000):find(".-.-.-.-b"))
  end,
}

-- Sends `text` to itself over the loopback, and returns what came back.
local function over_tcp(text, done)
  local server, client = luv.new_tcp(), luv.new_tcp()
  server:bind("127.0.0.1", 0)
  server:listen(1, function()
    local peer = luv.new_tcp()
    server:accept(peer)
    peer:read_start(function(_, chunk)
      if chunk then
        peer:write(chunk:upper())
      else
        peer:close()
      end
    end)
  end)
  client:connect("127.0.0.1", server:getsockname().port, function(why)
    assert(not why, why)
    client:read_start(function(_, chunk)
      client:close()
      server:close()
      done(chunk)
    end)
    client:write(text)
  end)
end

return titan.process {
  name = "contained",
  all_methods_public = true,
  init = function(_, options)
    if options.finalizer then
      kept.sentinel = setmetatable({}, { __gc = forever })
    end
    if options.loop then
      loops[options.loop]()
    end
  end,
  methods = {
    add = function(_, a, b)
      return a + b
    end,
    raise = function()
      error "on purpose"
    end,
    raise_unprintable = function()
      error(setmetatable({}, { __tostring = function()
        error "cannot be shown"
      end }))
    end,
    raise_in_timer = function()
      luv.new_timer():start(1, 0, function()
        error "in a timer"
      end)
      titan.sleep "1h"
    end,
    fill = function()
      fill {}
    end,
    hoard = function()
      pcall(fill, kept)
      return #kept
    end,
    let_go = function()
      kept = {}
    end,
    recurse = function(_, how)
      return recursions[how]()
    end,
    loop = function(_, how)
      return loops[how]()
    end,
    exit = function(_, code)
      pcall(os.exit, code)
      print "unreachable"
    end,
    print = function(_, ...)
      print(...)
      io.stdout:write("written ", ..., "\n")
      io.stderr:write("complained ", ..., "\n")
    end,
    timer = function(_, value)
      return awaited(function(done)
        local timer = luv.new_timer()
        timer:start(1, 0, function()
          timer:close()
          done(value)
        end)
      end)
    end,
    -- By a timer that keeps no loop alive, while nothing else is to be done.
    timer_unref = function(_, value)
      local waiting, timer = titan.go(titan.sleep, "1h"), luv.new_timer()
      timer:start(1, 0, function()
        timer:close()
        waiting:cancel()
      end)
      timer:unref()
      pcall(waiting.await, waiting)
      return value
    end,
    -- How long one of so many ms has taken.
    timer_took = function(_, ms)
      return awaited(function(done)
        local timer, began = luv.new_timer(), luv.hrtime()
        timer:start(ms, 0, function()
          timer:close()
          done((luv.hrtime() - began) / 1e6)
        end)
      end)
    end,
    size_of = function(_, path)
      return awaited(function(done)
        luv.fs_stat(path, function(why, stat)
          assert(not why, why)
          done(stat.size)
        end)
      end)
    end,
    tcp = function(_, text)
      return awaited(function(done)
        over_tcp(text, done)
      end)
    end,
    -- A handle that nobody closes.
    forget_handle = function()
      luv.new_timer():start(3600000, 0, print)
      local server = luv.new_tcp()
      server:bind("127.0.0.1", 0)
      server:listen(1, print)
    end,
    set_global = function(_, value)
      local was = rawget(_G, "titan_spec_global")
      rawset(_G, "titan_spec_global", value)
      return was
    end,
    loaded = function(_, name)
      return package.loaded[name] ~= nil
    end,
    call = function(_, name, method, ...)
      local service = titan.service(name)
      return service[method](service, ...)
    end,
  },
}
