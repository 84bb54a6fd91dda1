-- A worker: shrinks grey pictures that lie in shared memory.
local titan = require "titan"

return titan.process {
  name = "thumbs",
  all_methods_public = true,
  methods = {
    -- The least that a call can do.
    nothing = function() end,

    -- Where it runs: in which process, and after how many calls of this one.
    whereabouts = function(self)
      self.asked = (self.asked or 0) + 1
      return require("luv").os_getpid(), self.asked
    end,

    -- Writes what is left of a picture, a half of its width and height, to its beginning. The
    -- picture is the caller's memory: nothing is copied to here, and nothing back.
    halve = function(_, picture, width, height)
      for y = 0, height // 2 - 1 do
        for x = 0, width // 2 - 1 do
          local at = 2 * y * width + 2 * x + 1
          local upper, lower = picture:byte(at) + picture:byte(at + 1),
            picture:byte(at + width) + picture:byte(at + width + 1)
          picture:set_byte(y * (width // 2) + x + 1, (upper + lower) // 4)
        end
      end
    end,

    -- Never returns: what its caller has left of its time ends it.
    ponder = function()
      while true do end
    end,
  },
}
