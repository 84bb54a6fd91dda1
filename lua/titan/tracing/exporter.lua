--- Posts spans to a collector, as fast as it takes them, and drops what it does not take: nothing
--- here waits, or makes others wait, and what is kept is bounded.
---
---     IDLE --a span--> GATHERING --a full batch, the interval--> POSTING --taken, refused--> IDLE
---                                                                  |  ^       or GATHERING
---                                              no answer, 429, 502,|  |the time
---                                              503, 504            v  |
---                                                               BACKING_OFF
---
--- What is worth another try, and how long to wait for it, is said in
--- https://opentelemetry.io/docs/specs/otlp/#failures-1.

local core = require "titan.core"
local http_post = require "titan.tracing.http_post"
local luv = require "luv"
local otlp = require "titan.tracing.otlp"
local retry_after = require "titan.tracing.retry_after"

local exporter = {}

---@class titan.Exporter
---@field package config titan.TracingConfig
---@field package otlp titan.Otlp
---@field package headers table<string, string>
---@field package state "idle"|"gathering"|"posting"|"backing_off"|"closed"
---@field package queue { record: titan.SpanRecord, source: titan.SpanSource }[] from first to last
---@field package first integer
---@field package last integer
---@field package batch? table[] what is being posted
---@field package body? string the same, encoded
---@field package attempts integer
---@field package post? titan.HttpPost while posting
---@field package timer userdata
---@field package waiters table<thread, true> who waits for the queue to be empty
---@field package exported integer
---@field package dropped integer
---@field package last_error? string
local Exporter = {}
Exporter.__index = Exporter

local MAX_ATTEMPTS <const> = 5 -- of one batch
local MAX_BACKOFF <const> = 30000 -- ms
local MAX_WAIT <const> = 300000 -- ms, whatever the collector asks for

local RETRYABLE <const> = { [429] = true, [502] = true, [503] = true, [504] = true }

---@param config titan.TracingConfig
---@return titan.Exporter
function exporter.new(config)
  local headers = { ["Content-Type"] = "application/json" }
  for name, value in pairs(config.headers) do
    headers[name] = value
  end
  local timer = luv.new_timer()
  luv.unref(timer)
  return setmetatable({
    config = config, otlp = otlp.new(config.service_name), headers = headers, timer = timer,
    state = "idle", queue = {}, first = 1, last = 0, attempts = 0, waiters = {},
    exported = 0, dropped = 0,
  }, Exporter)
end

---@param self titan.Exporter
---@return integer
local function waiting(self)
  return self.last - self.first + 1
end

---@param self titan.Exporter
---@return boolean
local function is_hurried(self)
  return next(self.waiters) ~= nil
end

---@param self titan.Exporter
local function wake_waiters(self)
  for co in next, self.waiters do
    core.unpark(co)
  end
end

---@param self titan.Exporter
---@param ms number
---@param next_step fun(self: titan.Exporter)
local function after(self, ms, next_step)
  luv.timer_start(self.timer, math.ceil(ms), 0, function()
    next_step(self)
  end)
end

-- One batch ----------------------------------------------------------------------------------

local begin_batch

-- Whatever became of the batch: what comes next.
---@param self titan.Exporter
local function go_on(self)
  self.batch, self.body, self.post = nil, nil, nil
  if waiting(self) == 0 then
    self.state = "idle"
    wake_waiters(self)
  elseif is_hurried(self) or waiting(self) >= self.config.batch then
    begin_batch(self)
  else
    self.state = "gathering"
    after(self, self.config.interval, begin_batch)
  end
end

---@param self titan.Exporter
---@param why string
local function give_up(self, why)
  self.dropped = self.dropped + #self.batch
  self.last_error = why
  go_on(self)
end

---@param self titan.Exporter
---@return number ms exponential, with a quarter of jitter to either side
local function backoff(self)
  local jitter = 0.75 + tonumber(core.span_id():sub(1, 4), 16) / 0x1ffff
  return math.min(self.config.interval * 2 ^ (self.attempts - 1), MAX_BACKOFF) * jitter
end

local try

---@param self titan.Exporter
---@param why string
---@param wait integer? ms, that the collector asks for
local function try_again(self, why, wait)
  if is_hurried(self) or self.attempts >= MAX_ATTEMPTS then
    return give_up(self, why)
  end
  self.last_error = why
  self.state = "backing_off"
  after(self, math.min(wait or backoff(self), MAX_WAIT), try)
end

---@param self titan.Exporter
---@param response titan.HttpResponse
local function taken(self, response)
  local rejected, message = self.otlp:rejected(response.body)
  rejected = math.min(rejected, #self.batch)
  self.exported = self.exported + #self.batch - rejected
  self.dropped = self.dropped + rejected
  if rejected > 0 or message then
    self.last_error = string.format("the collector rejected %d spans: %s", rejected,
      message or "it does not say why")
  end
  go_on(self)
end

---@param self titan.Exporter
---@param response titan.HttpResponse?
---@param err titan.HttpFailure?
local function answered(self, response, err)
  self.post = nil
  if not response then
    local continue = err.answered and give_up or try_again
    return continue(self, err.message)
  end
  local status = response.status
  local why = "the collector answered " .. status
  if status >= 200 and status < 300 then
    taken(self, response)
  elseif RETRYABLE[status] then
    try_again(self, why, retry_after(response.headers["retry-after"]))
  else
    give_up(self, why)
  end
end

---@param self titan.Exporter
function try(self)
  self.state = "posting"
  self.attempts = self.attempts + 1
  self.post = http_post.start(self.config.endpoint, self.headers, self.body, self.config.timeout,
    function(response, err)
      answered(self, response, err)
    end)
end

---@param self titan.Exporter
function begin_batch(self)
  luv.timer_stop(self.timer)
  local batch = {}
  while #batch < self.config.batch and self.first <= self.last do
    batch[#batch + 1] = self.queue[self.first]
    self.queue[self.first] = nil
    self.first = self.first + 1
  end
  self.batch, self.attempts = batch, 0
  local ok, body = pcall(self.otlp.encode, self.otlp, batch)
  if not ok then
    return give_up(self, "spans that cannot be encoded: " .. tostring(body))
  end
  self.body = body
  try(self)
end

-- From outside -------------------------------------------------------------------------------

--- Takes a span that has ended. It is dropped when the queue is full.
---@param record titan.SpanRecord one that otlp.is_record accepts
---@param source titan.SpanSource the same table for all spans of one process
function Exporter:add(record, source)
  if self.state == "closed" or waiting(self) >= self.config.queue then
    self.dropped = self.dropped + 1
    return
  end
  self.last = self.last + 1
  self.queue[self.last] = { record = record, source = source }
  if self.state == "idle" then
    self.state = "gathering"
    after(self, self.config.interval, begin_batch)
  end
  if self.state == "gathering" and (is_hurried(self) or waiting(self) >= self.config.batch) then
    begin_batch(self)
  end
end

--- Counts spans that were lost before they came here.
---@param count integer
function Exporter:lost(count)
  self.dropped = self.dropped + count
end

--- Posts what there is, each batch once, and waits for it, at most so long.
---@param ms integer
function Exporter:flush(ms)
  if self.state == "idle" or self.state == "closed" then
    return
  end
  local deadline, co = core.monotonic_ms() + ms, core.current()
  local _ <close> = setmetatable({}, { __close = function()
    self.waiters[co] = nil
  end })
  self.waiters[co] = true
  if self.state == "gathering" then
    begin_batch(self)
  elseif self.state == "backing_off" then
    luv.timer_stop(self.timer)
    try(self)
  end
  while self.state ~= "idle" and self.state ~= "closed" do
    local left = math.ceil(deadline - core.monotonic_ms())
    if left <= 0 then
      return
    end
    core.park(left)
  end
end

---@class titan.TracingCounters
---@field exported integer spans that the collector has taken
---@field dropped integer spans that were lost: it did not take them, or there was no room for them
---@field queued integer spans that wait or are being posted
---@field last_error? string why spans were dropped, or had to be posted again

---@return titan.TracingCounters
function Exporter:counters()
  return {
    exported = self.exported, dropped = self.dropped,
    queued = waiting(self) + (self.batch and #self.batch or 0), last_error = self.last_error,
  }
end

--- Drops what there is and ends.
function Exporter:close()
  if self.state == "closed" then
    return
  end
  self.dropped = self:counters().queued + self.dropped
  if self.post then
    self.post:cancel()
  end
  luv.close(self.timer)
  self.state, self.queue, self.first, self.last = "closed", {}, 1, 0
  self.batch, self.body, self.post = nil, nil, nil
  wake_waiters(self)
end

return exporter
