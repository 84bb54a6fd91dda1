--- Prints what it is told to.

local luv = require "luv"
local titan = require "titan"

return titan.process {
  name = "printer",
  all_methods_public = true,
  init = function(_, options)
    if options.last_words then
      io.stderr:write(options.last_words)
      error "no more words"
    end
  end,
  methods = {
    echo = function(_, ...)
      return ...
    end,
    write = function(_, stream, text)
      io[stream]:write(text)
    end,
    print = function(_, ...)
      print(...)
    end,
    -- Numbered lines, every tenth of them on stderr.
    flood = function(self, count)
      for i = 1, count do
        local stream = i % 10 == 0 and io.stderr or io.stdout
        stream:write(self.name, " ", i, " ", ("."):rep(i % 100), "\n")
      end
    end,
    write_and_die = function(_, text, signal)
      io.stdout:write(text)
      io.stderr:write(text)
      luv.kill(luv.os_getpid(), signal)
    end,
    write_and_exit = function(_, text)
      io.stdout:write(text)
      io.stderr:write(text)
      os.exit(0)
    end,
  },
}
