--- Ends in every way there is, in the middle of a call.

local luv = require "luv"
local titan = require "titan"

local function signal_self(name)
  -- A sanitizer's handler of SIGSEGV would change what the kernel says of the end.
  if name == "sigsegv" then
    local handle = luv.new_signal()
    handle:start(name, function() end)
    handle:stop()
  end
  luv.kill(luv.os_getpid(), name)
end

-- Answers are sent at the end of a turn of the loop; timers come at its beginning.
local function let_answers_go()
  titan.sleep(1)
  titan.sleep(1)
end

local ways = {
  exit_0 = function()
    os.exit(0)
  end,
  exit_3 = function()
    os.exit(3)
  end,
}

return titan.process {
  name = "deadly",
  all_methods_public = true,
  methods = {
    echo = function(_, ...)
      return ...
    end,
    fail = function()
      error "on purpose"
    end,
    die = function(_, way, last_words)
      io.stderr:write(last_words or "", "\n")
      if ways[way] then
        ways[way]()
      end
      signal_self(way)
    end,
    leave = function(_, code)
      titan.go(function()
        let_answers_go()
        os.exit(code)
      end)
    end,
    hang = function()
      titan.sleep "1h"
    end,
    -- More than the kernel takes at once.
    answer_largely = function(self, mark)
      titan.go(self.mark, self, mark)
      local pieces = {} -- none of which is large enough to go another way than the connection's
      for i = 1, 256 do
        pieces[i] = ("x"):rep(32 << 10)
      end
      return pieces
    end,
    mark = function(_, path)
      let_answers_go()
      assert(io.open(path, "w")):close()
    end,
    spin = function()
      while true do end
    end,
    freeze = function()
      luv.kill(luv.os_getpid(), "sigstop")
    end,
  },
}
