-- Methods whose results are kept; each says how often it ran.
local body = require "support.body"
local core = require "titan.core"
local luv = require "luv"
local titan = require "titan"

local runs = {}

local function ran(name)
  runs[name] = (runs[name] or 0) + 1
  return runs[name]
end

-- Waits for a file, and then fails if that is what it says.
local function wait_for(path)
  local file
  repeat
    titan.sleep(2)
    file = io.open(path)
  until file
  local text = file:read "a"
  file:close()
  if text == "fail" then
    error "on purpose"
  end
  return text
end

local cached = {}

function cached.plain(_, ...)
  return ran "plain", ...
end

function cached.nothing()
  ran "nothing"
end

function cached.several(_, ...)
  return nil, ran "several", nil, select("#", ...), nil
end

-- Says beside the path who runs it.
function cached.slow(_, path)
  ran "slow"
  local file = assert(io.open(path .. ".pid", "a"))
  file:write(string.format("%d\n", luv.os_getpid()))
  file:close()
  return string.format("%s by %d", wait_for(path), luv.os_getpid())
end

function cached.wanted(_, value)
  return ran "wanted" and value
end

local methods = {
  runs = function(_, name)
    return runs[name] or 0
  end,
  pid = function()
    return luv.os_getpid()
  end,
  plain = { cache = true, cached.plain },
  uncached = { cache = false, cached.plain },
  nothing = { cache = true, cached.nothing },
  several = { cache = {}, cached.several },
  slow = { cache = true, cached.slow },
  few = { cache = { max_entries = 2 }, cached.plain },
  brief = { cache = { ttl = 20 }, cached.plain },
  first = { cache = { key_fn = function(id)
    return id
  end }, cached.plain },
  broken_key = { cache = { key_fn = function(how)
    return how == "raise" and error "no key" or how == "table" and {} or nil
  end }, cached.plain },
  broken_condition = { cache = { condition = function()
    error "no opinion"
  end }, cached.plain },
  wanted = { cache = { condition = function(result, value)
    return result == value and result ~= "unwanted"
  end }, cached.wanted },
  slow_unwanted = { cache = { condition = function()
    return false
  end }, cached.slow },
  full = { cache = { max_entries = 1 }, cached.slow },
  of_a_function = function(self)
    return self:plain(print)
  end,
  untravelling = { cache = true, function()
    return ran "untravelling" and print
  end },
  -- us of one hit, as the best of a few rounds
  hit_us = function(self, rounds)
    local best = math.huge
    for _ = 1, 20 do
      local start = core.monotonic_ms()
      for _ = 1, rounds do
        self:plain(1, "two")
      end
      best = math.min(best, (core.monotonic_ms() - start) * 1000 / rounds)
    end
    return best
  end,
  shared = { cache = { store = "manager" }, cached.plain },
  shared_slow = { cache = { store = "manager" }, cached.slow },
  shared_several = { cache = { store = "manager" }, cached.several },
  shared_brief = { cache = { store = "manager", ttl = 20 }, cached.plain },
  shared_few = { cache = { store = "manager", max_entries = 2 }, cached.plain },
  shared_untravelling = { cache = { store = "manager" }, function()
    return ran "untravelling" and print
  end },
  durable = { cache = { store = "sqlite", ttl = "1h" }, cached.plain },
  die = function()
    body.die()
  end,
}

return titan.process { name = "cached", all_methods_public = true, methods = methods }
