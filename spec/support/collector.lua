--- A collector of spans that does as it is told: an HTTP server on the loop of the test.

local cjson = require "cjson"
local core = require "titan.core"
local luv = require "luv"

---@class spec.Collector
---@field endpoint string its URL
---@field posts { head: string, body: string }[] all that came
---@field answers any[] what it answers with, one after the other, the last of them again and again:
--- a status, the bytes themselves, a function of the connection, or false for nothing
local Collector = {}
Collector.__index = Collector

local collector = {}

---@param answer any
---@return string
local function bytes_of(answer)
  if type(answer) ~= "number" then
    return answer
  end
  return string.format("HTTP/1.1 %d Whatever\r\nContent-Length: 2\r\n\r\n{}", answer)
end

---@param self spec.Collector
---@param connection userdata
local function answer(self, connection)
  local given = self.answers[1]
  if #self.answers > 1 then
    table.remove(self.answers, 1)
  end
  if type(given) == "function" then
    given(connection)
  elseif given then
    luv.write(connection, bytes_of(given), function()
      if not luv.is_closing(connection) then
        luv.close(connection)
      end
    end)
  end
end

---@param self spec.Collector
---@param connection userdata
local function serve(self, connection)
  local held = ""
  luv.read_start(connection, function(_, bytes)
    held = held .. (bytes or "")
    local head, body = held:match "^(.-\r\n\r\n)(.*)$"
    if head and #body == tonumber(head:match "Content%-Length: (%d+)") then
      held = ""
      self.posts[#self.posts + 1] = { head = head, body = body }
      answer(self, connection)
      if self.waiter then
        core.unpark(self.waiter)
      end
    end
  end)
end

--- Opens one on a free port of 127.0.0.1.
---@param ... any see `answers`; 200 when there is none
---@return spec.Collector
function collector.open(...)
  local server = luv.new_tcp()
  local self = setmetatable({
    server = server, posts = {}, answers = select("#", ...) > 0 and { ... } or { 200 },
    connections = {},
  }, Collector)
  assert(luv.tcp_bind(server, "127.0.0.1", 0))
  luv.unref(server)
  assert(luv.listen(server, 16, function()
    local connection = luv.new_tcp()
    luv.accept(server, connection)
    luv.unref(connection)
    self.connections[#self.connections + 1] = connection
    serve(self, connection)
  end))
  local port = luv.tcp_getsockname(server).port
  self.endpoint = string.format("http://127.0.0.1:%d/v1/traces", port)
  return self
end

--- A URL where nobody listens.
---@return string
function collector.nowhere()
  local unused = collector.open()
  unused:close()
  return unused.endpoint
end

--- Waits until `holds()`, looked at after each post and now and then.
---@param holds fun(): any
---@return any what it returned
function Collector:await(holds)
  local deadline = core.monotonic_ms() + 5000
  self.waiter = core.current()
  while not holds() and core.monotonic_ms() < deadline do
    core.park(5)
  end
  self.waiter = nil
  return assert(holds(), "it did not come")
end

--- All spans that were posted, as OTLP has them, with `process`, the name of what they came from,
--- and `attribute`, a table of the attributes' values.
---@return table[]
function Collector:spans()
  local all = {}
  local function values(attributes)
    local map = {}
    for _, pair in ipairs(attributes or {}) do
      map[pair.key] = select(2, next(pair.value))
    end
    return map
  end
  for _, post in ipairs(self.posts) do
    for _, part in ipairs(cjson.decode(post.body).resourceSpans) do
      for _, span in ipairs(part.scopeSpans[1].spans) do
        span.resource = values(part.resource.attributes)
        span.process, span.attribute = span.resource["titan.process"], values(span.attributes)
        all[#all + 1] = span
      end
    end
  end
  return all
end

--- Waits until so many spans have come, and returns them by their names.
---@param count integer
---@return table<string, table> the last one of each name
---@return table[] all
function Collector:await_spans(count)
  local all = self:await(function()
    local spans = self:spans()
    return #spans >= count and spans
  end)
  local by_name = {}
  for _, span in ipairs(all) do
    by_name[span.name] = span
  end
  return by_name, all
end

function Collector:close()
  luv.close(self.server)
  for _, connection in ipairs(self.connections) do
    if not luv.is_closing(connection) then
      luv.close(connection)
    end
  end
end

return collector
