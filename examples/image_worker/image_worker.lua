-- A worker that resizes pictures, and keeps a copy of each in a folder.
--
-- The copies are written some at a time, so that not every caller waits for the disk; those that
-- are left are written when the worker is told to stop. One that is killed loses them.
local titan = require "titan"
local hash = require "hash"
local ppm = require "ppm"
local scaler = require "scaler"

local AT_A_TIME <const> = 4

-- What makes two calls the same, and the name of the copy.
local function key(input, width)
  return hash(input) .. "-" .. width
end

return titan.process {
  name = "image-worker",
  version = "1.0.0",
  init = function(self, options)                            -- once, before the first call
    self.folder, self.queue, self.made = options.folder, {}, 0
  end,
  methods = {
    resize = {
      public = true,
      trace = true,
      metric = { counter = "images.resized", histogram = "images.resize.ms" },
      validate = {
        args = {
          { type = "string", check = ppm.check },
          { type = "integer", min = 1, max = 4096 },
        },
      },
      circuit_breaker = { failure_threshold = 5, timeout = "30s" },
      idempotent = { key_fn = key },
      function(self, input, width)                          -- [1] is the method itself
        local picture = scaler.resize(ppm.decode(input), width)
        local output = ppm.encode(picture)
        self.made = self.made + 1
        self:keep(key(input, width) .. ".ppm", output)
        return output, picture.height
      end,
    },
    health = {
      health_check = true,
      function(self)
        local status = #self.queue < AT_A_TIME and "healthy" or "degraded"
        return { status = status, queue_depth = #self.queue, made = self.made }
      end,
    },
    cleanup = {
      on_shutdown = true,
      function(self)
        self:drain()
      end,
    },

    keep = function(self, name, bytes)                      -- private: a bare function
      table.insert(self.queue, { path = self.folder .. "/" .. name, bytes = bytes })
      if #self.queue >= AT_A_TIME then
        self:drain()
      end
    end,
    drain = function(self)
      while self.queue[1] do
        local copy = self.queue[1]
        local file = assert(io.open(copy.path, "wb"))
        assert(file:write(copy.bytes))
        assert(file:close())
        table.remove(self.queue, 1)                         -- what could not be written stays
      end
    end,
  },
}
