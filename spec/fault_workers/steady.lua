--- Lives an orderly life, and writes in its journal when it ends.
--
-- Options: journal, a path; start and stop, what happens then: "wait" for ever or "fail".

local luv = require "luv"
local titan = require "titan"

local moods = {
  wait = function()
    titan.sleep "1h"
  end,
  fail = function()
    error "on purpose"
  end,
}

local function note(self, what)
  local journal <close> = assert(io.open(self.options.journal, "a"))
  journal:write(self.name, " ", what, "\n")
end

-- A child that would go on for ever, and its pid.
local function child_by_popen()
  return io.popen("sleep 1000 >/dev/null & echo $!"):read "n"
end

local function child_by_luv()
  local _, pid = luv.spawn("sleep", { args = { "1000" } }, function() end)
  return pid
end

return titan.process {
  name = "steady",
  all_methods_public = true,
  init = function(self, options)
    self.options = options
    if options.start then
      note(self, "starts")
      moods[options.start]()
    end
  end,
  methods = {
    echo = function(_, ...)
      return ...
    end,
    -- Answers as soon as there is such a file.
    wait_for = function(_, path)
      while not luv.fs_stat(path) do
        titan.sleep(5)
      end
      return "done"
    end,
    spin = function()
      while true do end
    end,
    have_children = function()
      return child_by_popen(), child_by_luv()
    end,
    exit = function(_, code)
      os.exit(code)
    end,
    read_stdin = function()
      return io.read "a", luv.fs_readlink "/proc/self/fd/0"
    end,
    -- Answers with the name of the signal when it comes.
    await_signal = function(_, name)
      local came
      local handle = luv.new_signal()
      handle:start(name, function(which)
        came = which
      end)
      while not came do
        titan.sleep(5)
      end
      handle:close()
      return came
    end,
    -- In the order of their names.
    bye_1 = {
      on_shutdown = true,
      function(self)
        if self.options.journal then
          note(self, "says goodbye")
        end
        if self.options.stop then
          moods[self.options.stop]()
        end
      end,
    },
    bye_2 = {
      on_shutdown = true,
      function(self)
        if self.options.journal then
          note(self, "closes the door")
        end
      end,
    },
  },
}
