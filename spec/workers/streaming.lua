--- Streams: of numbers, of bytes, slow ones, endless ones, ones that fail; and what became of them.

local errors = require "titan.errors"
local luv = require "luv"
local titan = require "titan"

local function numbers(count)
  return function(_, i)
    i = (i or 0) + 1
    return i <= count and i or nil
  end
end

-- The value to be closed of a stream: notes that, and wakes who waits for it.
local function noted(self)
  return setmetatable({}, {
    __close = function(_, err)
      self.closed = self.closed + 1
      self.closed_with = err and (err.code or tostring(err)) or "nothing"
      if self.watch then
        self.watch:cancel()
      end
    end,
  })
end

return titan.process {
  name = "streaming",
  all_methods_public = true,
  init = function(self)
    self.made, self.closed = 0, 0
  end,
  methods = {
    count = { stream = true, function(self, n)
      return numbers(n), nil, nil, noted(self)
    end },
    several = { stream = true, function(_, n)
      return function(state, i)
        if i < state.n then
          return i + 1, nil, { i }, nil
        end
      end, { n = n }, 0
    end },
    callable = { stream = true, function(_, n)
      local i = 0
      return setmetatable({}, { __call = function()
        i = i + 1
        return i <= n and i or nil
      end })
    end },
    blobs = { stream = true, function(self, size)
      local blob = ("x"):rep(size)
      return function()
        self.made = self.made + 1
        return blob
      end, nil, nil, noted(self)
    end },
    endless = { stream = true, function(self)
      return function(_, i)
        self.made = self.made + 1
        return (i or 0) + 1
      end, nil, nil, noted(self)
    end },
    -- One every so often.
    ticks = { stream = true, function(self, duration, n)
      return function(_, i)
        titan.sleep(duration)
        i = (i or 0) + 1
        return i <= n and i or nil
      end, nil, nil, noted(self)
    end },
    -- So many, then nothing any more. What it holds while it waits is closed, too.
    hang = { stream = true, function(self, n)
      return function(_, i)
        if (i or 0) < n then
          return (i or 0) + 1
        end
        local _ <close> = noted(self)
        titan.sleep "1h"
      end
    end },
    -- Who is streaming, and no more.
    pid = { stream = true, function()
      return function(_, pid)
        if pid then
          titan.sleep "1h"
        end
        return luv.os_getpid()
      end
    end },
    -- Does not let itself be cancelled.
    stubborn = { stream = true, function(self)
      return function(_, i)
        pcall(titan.sleep, i and "1h" or 0)
        return (i or 0) + 1
      end, nil, nil, noted(self)
    end },
    failing = { stream = true, function(self, n)
      return function(_, i)
        if (i or 0) == n then
          error(errors.new("rate_limited", "on purpose", { details = { after = n } }))
        end
        return (i or 0) + 1
      end, nil, nil, noted(self)
    end },
    refusing = { stream = true, function()
      errors.raise("overloaded", "there is no such stream")
    end },
    wrong = { stream = true, function()
      return 5
    end },
    untravelling = { stream = true, function(self)
      return function(_, i)
        return i and print or 1
      end, nil, nil, noted(self)
    end },
    huge = { stream = true, function()
      return function(_, i)
        return i and ("x"):rep(65 << 20) or 1
      end
    end },
    -- Another service's stream, passed on.
    through = { stream = true, function(_, service, method, ...)
      local target = titan.service(service)
      return target[method](target, ...)
    end },
    -- Another service's stream, to its end or so far.
    sum = function(_, service, method, limit, ...)
      local target, sum, n = titan.service(service), 0, 0
      for value in target[method](target, ...) do
        sum, n = sum + value, n + 1
        if n == limit then
          break
        end
      end
      return sum, n
    end,
    failure = function(_, service, method, timeout, ...)
      local target, n = titan.service(service):with { timeout = timeout }, 0
      local ok, err = pcall(function(...)
        for _ in target[method](target, ...) do
          n = n + 1
        end
      end, ...)
      return n, not ok and err.code, not ok and err.message
    end,
    -- Of its own streams, by itself.
    own = function(self, n)
      local sum, kinds = 0, {}
      for i in self:count(n) do
        sum = sum + i
      end
      for i = 1, 4 do
        kinds[i] = type((select(i, self:count(n))))
      end
      return sum, kinds
    end,
    report = function(self)
      return self.made, self.closed, self.closed_with
    end,
    -- Answers when so many streams have been closed: with what.
    await_closed = function(self, n)
      while self.closed < n do
        self.watch = titan.go(titan.sleep, "1h")
        pcall(self.watch.await, self.watch)
      end
      return self.closed_with
    end,
    echo = function(_, ...)
      return ...
    end,
  },
}
