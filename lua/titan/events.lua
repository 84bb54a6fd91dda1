--- Who wants to hear of what: the manager's event handlers.

local core = require "titan.core"
local schema = require "titan.schema"
local tasks = require "titan.tasks"
local text = require "titan.text"

local events = {}

---@class titan.Events
---@field package handlers table<string, fun(data: table)[]>
---@field package queue any[] handlers to call, each followed by its data
local Events = {}
Events.__index = Events

local KNOWN <const> = {
  "process:spawn", "process:ready", "process:crash", "process:restart", "process:stop",
  "child:start-failed", "child:failed", "supervisor:failed",
  "pool:scale", "pool:memory", "pool:failed", "health:change", "health:critical", "log",
}

--- The names of all events.
---@type string[]
events.known = KNOWN

local is_known = {}
for _, name in ipairs(KNOWN) do
  is_known[name] = true
end

---@return titan.Events
function events.new()
  return setmetatable({ handlers = {}, queue = {} }, Events)
end

---@param event any
local function check_event(event)
  if not is_known[event] then
    local nearest = type(event) == "string" and core.suggest(event, KNOWN)
    local hint = nearest and string.format("did you mean %q?", nearest)
      or "there are " .. table.concat(KNOWN, ", ")
    schema.refuse("on.event", string.format("unknown event %s; %s", text.literal(event), hint),
      event, KNOWN)
  end
end

---@param event string
---@param fn fun(data: table)
---@return fun(data: table) fn
function Events:on(event, fn)
  check_event(event)
  if type(fn) ~= "function" then
    schema.refuse("on.handler", "expected a function, given a " .. type(fn), fn, "a function")
  end
  local handlers = self.handlers[event] or {}
  self.handlers[event] = handlers
  handlers[#handlers + 1] = fn
  return fn
end

---@param event string
---@param fn fun(data: table)
function Events:off(event, fn)
  check_event(event)
  local kept = {}
  for _, handler in ipairs(self.handlers[event] or {}) do
    if handler ~= fn then
      kept[#kept + 1] = handler
    end
  end
  self.handlers[event] = kept
end

--- Whether anybody listens: building the data may cost more than the event is worth.
---@param event string
---@return boolean
function Events:heard(event)
  local handlers = self.handlers[event]
  return handlers ~= nil and #handlers > 0
end

---@param self titan.Events
local function drain(self)
  core.park(0)
  local queue = self.queue
  self.queue = {}
  for i = 1, #queue, 2 do
    tasks.go(queue[i], queue[i + 1])
  end
end

--- Calls each handler, soon and in order, in a task of its own: one that waits or fails
--- holds up nobody. Not at once: an event is told in the middle of what made it.
---@param event string
---@param data table
function Events:emit(event, data)
  local handlers, queue = self.handlers[event] or {}, self.queue
  if #queue == 0 and #handlers > 0 then
    tasks.go(drain, self)
  end
  for i = 1, #handlers do
    queue[#queue + 1] = handlers[i]
    queue[#queue + 1] = data
  end
end

return events
