--- The spans of a worker on their way to its manager: they are sent together, by a task of their
--- own, which no call waits for.

local core = require "titan.core"
local remote_error = require "titan.remote_error"

local outbox = {}

local SERVICE <const> = ":spans" -- of the manager; see titan.manager.tracing
local METHOD <const> = "add"

local DELAY <const> = 200 -- ms, from the first span until they are sent
local FULL <const> = 256 -- spans that are sent without further delay
local TIMEOUT <const> = 5000 -- ms, until the manager must have taken them
local LAST_TIMEOUT <const> = 500 -- ms, the same when the worker ends

---@class titan.Outbox
---@field package limit integer spans that may wait
---@field package waiting titan.SpanRecord[]
---@field package dropped integer that the manager has not been told of
---@field package task thread
---@field package ending boolean whether nothing waits any more
local Outbox = {}
Outbox.__index = Outbox

---@param self titan.Outbox
---@param records titan.SpanRecord[]
---@param timeout integer ms
---@return boolean ok
---@return any err
local function post(self, records, timeout)
  local owner, dropped = {}, self.dropped
  self.dropped = 0
  local ok, err = pcall(core.service_method(nil, owner, METHOD, SERVICE, timeout), owner, records,
    dropped)
  if not ok then
    self.dropped = self.dropped + dropped
  end
  return ok, err
end

-- What is larger than a frame may be goes in halves. What the manager does not take is lost.
---@param self titan.Outbox
---@param records titan.SpanRecord[]
---@param timeout integer ms
local function send(self, records, timeout)
  local ok, err = post(self, records, timeout)
  local too_large = not ok and type(err) == "table" and err.code == "limit_exceeded"
  if too_large and #records > 1 then
    local half = #records // 2
    send(self, table.move(records, 1, half, 1, {}), timeout)
    send(self, table.move(records, half + 1, #records, 1, {}), timeout)
  elseif not ok then
    self.dropped = self.dropped + #records
  end
end

---@param self titan.Outbox
---@param timeout integer
local function send_waiting(self, timeout)
  if #self.waiting > 0 or self.dropped > 0 then
    local records = self.waiting
    self.waiting = {}
    send(self, records, timeout)
  end
end

-- The task, for as long as the worker lives.
---@param self titan.Outbox
local function work(self)
  self.task = core.current()
  while not self.ending do
    while #self.waiting == 0 do
      core.park()
    end
    if #self.waiting < FULL then
      core.park(DELAY)
    end
    send_waiting(self, TIMEOUT)
  end
end

local function detached(fn, ...)
  core.detach() -- from the call: its deadline may be over
  fn(...)
end

local function in_background(fn, ...)
  core.go(remote_error.pack, function() end, detached, fn, ...)
end

--- Opens it and starts its task.
---@param limit integer spans that may wait; further ones are dropped and counted
---@return titan.Outbox
function outbox.open(limit)
  local self = setmetatable({ limit = limit, waiting = {}, dropped = 0, ending = false }, Outbox)
  in_background(work, self)
  return self
end

--- Takes a span that has ended.
---@param record titan.SpanRecord
function Outbox:add(record)
  if self.ending then
    in_background(send, self, { record }, LAST_TIMEOUT) -- written before the call is answered
    return
  elseif #self.waiting >= self.limit then
    self.dropped = self.dropped + 1
    return
  end
  self.waiting[#self.waiting + 1] = record
  if #self.waiting == 1 or #self.waiting == FULL then
    core.unpark(self.task)
  end
end

--- Sends what there is, and waits until the manager has it. From now on spans are sent as they end.
function Outbox:finish()
  self.ending = true
  send_waiting(self, LAST_TIMEOUT)
end

return outbox
