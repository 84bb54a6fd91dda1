--- Reads the answer to an HTTP/1.1 request from the pieces in which it arrives (RFC 9112).
---
--- What it reads is bounded, whatever the other side sends. A body beyond its limit is not read to
--- its end and left out, since the status is what matters.

local response = {}

---@class titan.HttpResponse
---@field status integer
---@field headers table<string, string> names in lower case; of a repeated one, the last
---@field body? string nil when it was larger than the limit

---@class titan.HttpReader
---@field package held string the last piece, and what was left of those before
---@field package at integer where in `held` what has not been read begins
---@field package total integer bytes that have come
---@field package state fun(self: titan.HttpReader): boolean|string|nil
---@field package found titan.HttpResponse
---@field package parts string[] of the body
---@field package left? integer bytes of the body, or of the chunk, that are still to come
---@field package size integer of the body so far
---@field package limit integer
local Reader = {}
Reader.__index = Reader

local MAX_HEAD <const> = 16384 -- bytes
local MAX_LINE <const> = 256 -- bytes, of a chunk's size and its extensions
local MAX_TOTAL <const> = 1048576 -- bytes, with all that is put around the chunks of a body

-- Each state takes what it can from `held` and returns true when it has taken something, "done",
-- nil when more has to come, or false and what is wrong.
local states = {}

-- A line without its end.
---@param self titan.HttpReader
---@param max integer
---@return string? line nil when more has to come
---@return string? wrong
local function take_line(self, max)
  local first, last = self.held:find("\r?\n", self.at)
  if not first then
    return nil, #self.held - self.at >= max and "a line is too long" or nil
  end
  local line = self.held:sub(self.at, first - 1)
  self.at = last + 1
  return line
end

-- As much as has come of the `left` bytes. True when that is more than a body may have.
---@param self titan.HttpReader
---@return boolean
local function take_counted(self)
  local bytes = self.held:sub(self.at, self.at + self.left - 1)
  self.at = self.at + #bytes
  self.left = self.left - #bytes
  self.size = self.size + #bytes
  self.parts[#self.parts + 1] = bytes
  return self.size > self.limit
end

function states:trailers()
  local line, wrong = take_line(self, MAX_HEAD)
  if wrong then
    return false, wrong
  end
  return line and (line == "" and "done" or true)
end

function states:chunk_end()
  local line, wrong = take_line(self, MAX_LINE)
  if wrong or line and line ~= "" then
    return false, wrong or "a chunk is longer than it says"
  end
  self.state = line and states.chunk_size or self.state
  return line and true
end

function states:chunk()
  if take_counted(self) then
    return "done"
  elseif self.left > 0 then
    return nil
  end
  self.state = states.chunk_end
  return true
end

function states:chunk_size()
  local line, wrong = take_line(self, MAX_LINE)
  if not line then
    return wrong and false, wrong
  end
  local digits = line:match "^(%x+)[ \t]*;" or line:match "^(%x+)[ \t]*$"
  if not digits or #digits > 8 then
    return false, "a chunk has no size"
  end
  self.left = tonumber(digits, 16)
  self.state = self.left == 0 and states.trailers or states.chunk
  return true
end

function states:counted()
  return (take_counted(self) or self.left == 0) and "done" or nil
end

function states:until_close()
  self.left = #self.held
  return take_counted(self) and "done" or nil
end

-- How the body ends: RFC 9112, section 6.3.
---@param self titan.HttpReader
---@return boolean|string|nil
---@return string? wrong
local function begin_body(self)
  local headers, status = self.found.headers, self.found.status
  local coding, length = headers["transfer-encoding"], headers["content-length"]
  if status == 204 or status == 304 then
    return "done"
  elseif coding then
    if coding:lower() ~= "chunked" then
      return false, "its transfer-encoding is not known"
    end
    self.state = states.chunk_size
  elseif length then
    self.left = length:find "^%d+$" and #length <= 15 and math.tointeger(tonumber(length))
    if not self.left then
      return false, "its content-length is not a number"
    end
    self.state = states.counted
  else
    self.state = states.until_close
  end
  return true
end

---@param head string
---@return titan.HttpResponse?
local function parse_head(head)
  local status, rest = head:match "^HTTP/1%.%d ([1-5]%d%d)[^\r\n]*\r?\n(.*)$"
  if not status then
    return nil
  end
  local headers = {}
  for line in rest:gmatch "([^\r\n]+)\r?\n" do
    local name, value = line:match "^([^:%s]+):[ \t]*(.-)[ \t]*$"
    if not name then
      return nil
    end
    headers[name:lower()] = value
  end
  return { status = tonumber(status), headers = headers }
end

function states:head()
  local _, last = self.held:find("\r?\n\r?\n", self.at)
  local begun = self.held:sub(self.at, self.at + 6)
  if not last and #self.held <= MAX_HEAD and begun == ("HTTP/1."):sub(1, #begun) then
    return nil
  end
  self.found = last and last - self.at < MAX_HEAD and parse_head(self.held:sub(self.at, last))
  if not self.found then
    return false, "it is not an HTTP/1 answer"
  end
  self.at = last + 1
  if self.found.status < 200 then
    return true -- a provisional one: the answer comes after it
  end
  return begin_body(self)
end

---@param body_limit integer bytes
---@return titan.HttpReader
function response.reader(body_limit)
  return setmetatable({
    held = "", at = 1, total = 0, state = states.head, parts = {}, size = 0, limit = body_limit,
  }, Reader)
end

---@return titan.HttpResponse
function Reader:finished()
  self.found.body = self.size <= self.limit and table.concat(self.parts) or nil
  return self.found
end

--- Takes the next piece.
---@param bytes string
---@return titan.HttpResponse? answer once it is complete; nil when more has to come
---@return string? wrong what breaks the protocol
function Reader:feed(bytes)
  self.held, self.at = self.held:sub(self.at) .. bytes, 1
  self.total = self.total + #bytes
  if self.total > MAX_TOTAL then
    return nil, "it has no end"
  end
  local result, wrong
  repeat
    result, wrong = self:state()
  until result ~= true
  if result == "done" then
    return self:finished()
  end
  return nil, wrong
end

--- Nothing more will come.
---@return titan.HttpResponse? answer nil when it is not complete
function Reader:close()
  return self.state == states.until_close and self:finished() or nil
end

return response
