--- Streams of mock processes: the caller's side is what a generic `for` takes, the method's side is
--- the task that answers the call. An item is made when the caller asks for it, and none ahead.

local core = require "titan.core"
local errors = require "titan.errors"

local streams = {}

---@class titan.MockStream
---@field package failure fun(code: titan.ErrorCode, message: string): titan.Error
---@field package pack fun(...): table the values of an item as they arrive
---@field package timeout integer ms that an item may take; 0 for no end
---@field package maker thread the task that answers the call
---@field package waiter? thread the task that waits for an item
---@field package asked? boolean
---@field package item? table
---@field package closed? boolean nobody wants the rest
---@field ended? boolean
---@field package error? any with which it ended
---@field items table[] those that were taken, packed
---@field package when_ended? fun(ok: boolean)
local Stream = {}
Stream.__index = Stream

---@param ok boolean
---@param err any
function Stream:finish(ok, err)
  if self.ended then
    return
  end
  self.ended, self.error = true, not ok and err or nil
  if self.waiter then
    core.unpark(self.waiter)
  end
  if self.when_ended then
    self.when_ended(ok)
  end
end

-- The caller wants no more. Who has seen enough has seen no failure.
---@param err any
---@param went_well boolean
function Stream:leave(err, went_well)
  if not self.ended then
    self.closed = true
    self:finish(went_well, err)
    self.error = err
    core.interrupt(self.maker, errors.new("cancelled", "the caller no longer waits"))
  end
end

-- The caller's side ---------------------------------------------------------------------------

---@param self titan.MockStream
local function await_item(self)
  local limit, ended_by_caller = core.time_for(self.timeout)
  local deadline = limit and limit > 0 and not ended_by_caller and core.monotonic_ms() + limit
  self.waiter, self.asked = core.current(), true
  local _ <close> = setmetatable({}, {
    __close = function()
      self.waiter = nil
    end,
  })
  core.unpark(self.maker)
  while not self.item and not self.ended do
    local left = deadline and math.max(0, math.ceil(deadline - core.monotonic_ms())) or nil
    if limit == nil or left == 0 then
      self:leave(self.failure("timeout", string.format("no item within %d ms", limit or 0)), false)
    else
      core.park(left)
    end
  end
end

---@param self titan.MockStream
---@return any ...
local function next_item(self)
  if self.waiter then
    error("titan: another task waits for the next item of this stream already", 2)
  elseif not self.ended then
    await_item(self)
  end
  local item = self.item
  if item and not self.closed then
    self.item = nil
    self.items[#self.items + 1] = item
    return table.unpack(item, 1, item.n)
  elseif self.error ~= nil then
    error(self.error, 0)
  end
  return nil
end

-- What the caller has of it, to be closed; when nobody has it any more it is left as well.
---@class titan.MockStreamEnd
---@field stream titan.MockStream
local End = { __name = "titan.MockStream" }

---@param of titan.MockStreamEnd
---@param err any
function End.__close(of, err)
  of.stream:leave(of.stream.failure("cancelled", "the stream has been closed"), err == nil)
end

function End.__gc(of)
  End.__close(of, "nobody has it")
end

--- The stream that a call has returned, if it has.
---@param closing any the fourth of its results
---@return titan.MockStream?
function streams.of(closing)
  return getmetatable(closing) == End and closing.stream or nil
end

-- The method's side ---------------------------------------------------------------------------

---@param iterator any
local function check_iterator(iterator)
  local metatable = getmetatable(iterator)
  if type(iterator) ~= "function" and not (type(metatable) == "table" and metatable.__call) then
    error("titan: a stream method returns an iterator, as a generic `for` takes it; this one "
      .. "returned a " .. type(iterator), 0)
  end
end

---@param self titan.MockStream
local function await_asked(self)
  while not self.asked do
    if self.closed then
      errors.raise("cancelled", "the caller no longer waits")
    end
    core.park()
  end
  self.asked = nil
end

---@param self titan.MockStream
---@return boolean more
local function give(self, ...)
  if self.closed then
    errors.raise("cancelled", "the caller no longer waits")
  elseif (...) == nil then
    return false
  end
  self.item = self.pack(...)
  if self.waiter then
    core.unpark(self.waiter)
  end
  return true
end

---@param ... any what the iterator returned
---@return any control
local function first_of(self, ...)
  return give(self, ...) and (...) or nil
end

-- What only the caller has: its collection is noticed.
---@param self titan.MockStream
local function for_caller(self)
  local of = setmetatable({ stream = self }, End)
  return function()
    return next_item(of.stream)
  end, nil, nil, of
end

--- Answers a call with the items of an iterator: returns, or raises, at their end.
---@param fields table of titan.MockStream: failure, pack, timeout
---@param began fun(stream: titan.MockStream, ...) gets the results of the call
---@param iterator any
---@param state any
---@param control any
---@param closing any
function streams.answer(fields, began, iterator, state, control, closing)
  local _ <close> = closing
  check_iterator(iterator)
  local self = setmetatable(fields, Stream)
  self.maker, self.items = core.current(), {}
  began(self, for_caller(self))
  repeat
    await_asked(self)
    control = first_of(self, iterator(state, control))
  until control == nil
end

return streams
