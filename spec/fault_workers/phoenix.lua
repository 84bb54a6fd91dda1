--- Has several lives, each of which may be another.
--
-- Options: directory, where it keeps its journal; plan, what each of its lives begins with, the
-- last word of it for all that follow:
--
--   live   it becomes ready
--   fail   init raises, after a word on stderr
--   kill   it kills itself before it is ready, after a word on stderr
--   flood  the same after more on stderr than a pipe holds
--   wait   init waits until there is a file `go` in the directory
--
-- stop, what its on_shutdown does: "wait" for ever, on which SIGTERM has no effect; "note" it.

local body = require "support.body"
local luv = require "luv"
local titan = require "titan"

local function note(self, what)
  if self.options.directory then
    local journal <close> = assert(io.open(self.options.directory .. "/journal", "a"))
    journal:write(self.name, " ", what, "\n")
  end
end

-- Which of its lives this is, counted by its journal.
local function count_lives(self)
  local lives = 1
  local journal <close> = io.open(self.options.directory .. "/journal")
  if journal then
    for line in journal:lines() do
      lives = lives + (line == self.name .. " starts" and 1 or 0)
    end
  end
  return lives
end

local function kill_self()
  io.stderr:flush()
  body.die()
  titan.sleep "1h"
end

local beginnings = {
  live = function() end,
  fail = function()
    io.stderr:write "the egg is cold\n"
    error "no luck"
  end,
  kill = function()
    io.stderr:write "the egg is cold\n"
    kill_self()
  end,
  flood = function()
    for i = 1, 4000 do
      io.stderr:write("ash ", i, " ", ("."):rep(100), "\n")
    end
    kill_self()
  end,
  wait = function(self)
    while not luv.fs_stat(self.options.directory .. "/go") do
      titan.sleep(5)
    end
  end,
}

return titan.process {
  name = "phoenix",
  all_methods_public = true,
  init = function(self, options)
    self.options = options
    if options.stop == "wait" then
      luv.new_signal():start("sigterm", function() end)
    end
    if options.plan then
      local life = count_lives(self)
      note(self, "starts")
      beginnings[options.plan[math.min(life, #options.plan)]](self)
    end
  end,
  methods = {
    echo = function(_, ...)
      return ...
    end,
    pid = function()
      return luv.os_getpid()
    end,
    -- How often it was asked in this life.
    count = function(self)
      self.counted = (self.counted or 0) + 1
      return self.counted
    end,
    hang = function()
      titan.sleep "1h"
    end,
    env = function(_, name)
      return os.getenv(name)
    end,
    option = function(self, name)
      return self.options[name]
    end,
    ask = function(self, alias, method, ...)
      local target = self.dependencies[alias]
      return target[method](target, ...)
    end,
    -- Ends once this call has been answered.
    leave = function(_, code)
      titan.go(function()
        titan.sleep(1)
        titan.sleep(1)
        os.exit(code)
      end)
    end,
    flood_and_die = function()
      beginnings.flood()
    end,
    bye = {
      on_shutdown = true,
      function(self)
        note(self, "stops")
        if self.options.stop == "wait" then
          titan.sleep "1h"
        end
      end,
    },
  },
}
