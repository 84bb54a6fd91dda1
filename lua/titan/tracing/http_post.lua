--- One HTTP/1.1 POST on the loop: resolve, connect, send, read the answer, close.
---
--- Nothing of it keeps a program running but, until it is over or its time is, what the kernel is
--- asked for.

local http_response = require "titan.tracing.http_response"
local luv = require "luv"

local http_post = {}

local BODY_LIMIT <const> = 65536 -- bytes of an answer

---@class titan.HttpPost
---@field package done? fun(response: titan.HttpResponse?, err: titan.HttpFailure?)
---@field package timer? userdata
---@field package tcp? userdata
---@field package resolving? userdata
---@field package addresses string[] those not tried yet
---@field package port integer
---@field package request string
---@field package reader titan.HttpReader
local Post = {}
Post.__index = Post

---@class titan.HttpFailure
---@field message string
---@field answered boolean whether there was an answer, one that is no HTTP: it would come again

---@param handle userdata?
local function close(handle)
  if handle and not luv.is_closing(handle) then
    luv.close(handle)
  end
end

---@param self titan.HttpPost
local function release(self)
  close(self.timer)
  close(self.tcp)
  if self.resolving then
    luv.cancel(self.resolving)
  end
  self.timer, self.tcp, self.resolving = nil, nil, nil
end

---@param self titan.HttpPost
---@param response titan.HttpResponse?
---@param message string?
---@param answered boolean?
local function finish(self, response, message, answered)
  local done = self.done
  self.done = nil
  release(self)
  if done then
    done(response, not response and { message = message, answered = answered or false } or nil)
  end
end

---@param self titan.HttpPost
---@param err string?
---@param bytes string? nil at the end
local function on_read(self, err, bytes)
  if not self.done then
    return
  end
  if bytes and not err then
    local response, wrong = self.reader:feed(bytes)
    if response or wrong then
      finish(self, response, wrong, true)
    end
    return
  end
  finish(self, not err and self.reader:close() or nil,
    "the connection ended before the answer" .. (err and ": " .. err or ""))
end

local connect_next

---@param self titan.HttpPost
---@param err string?
local function on_connected(self, err)
  if not self.done then
    return
  elseif err then
    close(self.tcp)
    self.tcp = nil
    return connect_next(self, "cannot connect: " .. err)
  end
  luv.read_start(self.tcp, function(read_err, bytes)
    on_read(self, read_err, bytes)
  end)
  luv.write(self.tcp, self.request, function()
    self.request = "" -- what went wrong, reading says as well; the answer may be there already
  end)
end

-- The addresses of a name one after the other: a collector may listen on one of two families.
---@param self titan.HttpPost
---@param why string
function connect_next(self, why)
  local address = table.remove(self.addresses, 1)
  if not address then
    return finish(self, nil, why)
  end
  local tcp, no_handle = luv.new_tcp()
  if not tcp then
    return finish(self, nil, "cannot make a socket: " .. tostring(no_handle))
  end
  self.tcp = tcp
  luv.unref(tcp)
  local ok, failure = luv.tcp_connect(tcp, address, self.port, function(err)
    on_connected(self, err)
  end)
  if not ok then
    close(tcp)
    self.tcp = nil
    return connect_next(self, "cannot connect: " .. tostring(failure))
  end
end

---@param self titan.HttpPost
---@param host string
local function resolve(self, host)
  local request, why = luv.getaddrinfo(host, nil, { socktype = "stream" }, function(err, found)
    self.resolving = nil
    if not self.done then
      return
    end
    for _, address in ipairs(not err and found or {}) do
      self.addresses[#self.addresses + 1] = address.addr
    end
    connect_next(self, "cannot find the host " .. host .. (err and ": " .. err or ""))
  end)
  self.resolving = request or nil
  if not request then
    luv.timer_start(self.timer, 0, 0, function()
      finish(self, nil, "cannot find the host " .. host .. ": " .. tostring(why))
    end)
  end
end

---@param at titan.Endpoint
---@param headers table<string, string>
---@param body string
---@return string
local function request_text(at, headers, body)
  local lines = {
    "POST " .. at.path .. " HTTP/1.1", "Host: " .. at.authority, "Connection: close",
    "Content-Length: " .. #body,
  }
  for name, value in pairs(headers) do
    lines[#lines + 1] = name .. ": " .. value
  end
  return table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
end

--- Posts, and calls `done` once: with the answer, whatever its status, or with what went wrong. Not
--- before this function has returned.
---@param at titan.Endpoint
---@param headers table<string, string>
---@param body string
---@param timeout_ms integer of the whole
---@param done fun(response: titan.HttpResponse?, err: titan.HttpFailure?)
---@return titan.HttpPost
function http_post.start(at, headers, body, timeout_ms, done)
  local self = setmetatable({
    done = done, addresses = {}, port = at.port, request = request_text(at, headers, body),
    reader = http_response.reader(BODY_LIMIT),
  }, Post)
  self.timer = luv.new_timer()
  luv.unref(self.timer)
  luv.timer_start(self.timer, timeout_ms, 0, function()
    finish(self, nil, string.format("no answer within %d ms", timeout_ms))
  end)
  resolve(self, at.host)
  return self
end

--- Gives it up: `done` is not called any more.
function Post:cancel()
  self.done = nil
  release(self)
end

return http_post
