--- How an error object reads.

local text = require "titan.text"

local shown = {}

--- What a field says. Never calls tostring on a table or userdata: a foreign __tostring may raise.
---@param value any
---@return string? text nil for nil
function shown.readable(value)
  local kind = type(value)
  if kind == "nil" then
    return nil
  elseif kind == "string" then
    return text.printable(value)
  elseif kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return "<" .. kind .. ">"
end

---@param lines string
---@return string
local function indented(lines)
  return "\n  " .. string.gsub(string.gsub(lines, "\n+$", ""), "\n", "\n  ")
end

---@param process string?
---@param method string?
---@return string
local function place(process, method)
  if process and method then
    return " (" .. process .. "." .. method .. ")"
  elseif process or method then
    return " (" .. (process or method) .. ")"
  end
  return ""
end

--- `code: message (process.method)` on one line; what the message has beyond its first
--- line, and the traceback, follow indented. Never raises, whatever the fields hold.
---@param err titan.Error
---@return string
function shown.text(err)
  local message = shown.readable(err.message) or "no message"
  local first, rest = string.match(message, "^([^\n]*)\n?(.*)$")
  local where = place(shown.readable(err.process), shown.readable(err.method))
  local line = (shown.readable(err.code) or "no code") .. ": " .. first .. where
  if rest ~= "" then
    line = line .. indented(rest)
  end
  if err.traceback ~= nil then
    line = line .. indented(shown.readable(err.traceback))
  end
  return line
end

return shown
