--- Takes, keeps, gives and passes on shared memory and large strings.

local titan = require "titan"

local made = 0

local function make_another(_, content)
  made = made + 1
  return titan.buffer(content), made
end

return titan.process {
  all_methods_public = true,
  init = function(self, options)
    self.kept = options.kept
  end,
  methods = {
    echo = function(_, ...)
      return ...
    end,
    read = function(_, buffer, ...)
      return buffer:read(...)
    end,
    write = function(_, buffer, pos, text)
      buffer:write(pos, text)
    end,
    length = function(_, value)
      return #value
    end,
    keep = function(self, buffer)
      self.kept = buffer
    end,
    kept = function(self)
      return self.kept
    end,
    make = function(_, content)
      return titan.buffer(content)
    end,
    cached = { cache = true, make_another },
    cached_for_all = { cache = { store = "manager" }, make_another },
    once = { idempotent = { store = "manager" }, make_another },
    drop = function(self)
      self.kept = nil
      collectgarbage()
    end,
    pid = function()
      return math.tointeger(require("luv").os_getpid())
    end,
    pass = function(_, service, method, ...)
      return titan.service(service)[method](titan.service(service), ...)
    end,
    wait = function(_, _)
      titan.sleep "10s"
    end,
    series = {
      stream = true,
      function(_, count, len, as_buffer)
        local i = 0
        return function()
          i = i + 1
          if i <= count then
            local text = string.char(i):rep(len)
            return i, as_buffer and titan.buffer(text) or text
          end
        end
      end,
    },
  },
}
