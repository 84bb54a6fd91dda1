--- Words for messages: how values, keys and lists are said to a person.
--
-- Everything is shortened, since what a user gave may be of any length, and printable,
-- since a message may end on a terminal.

local text = {}

--- The version of Titan that messages speak of.
text.version = "0.1.0"

local MAX_STRING <const> = 40
local MAX_KEY <const> = 64

--- A string in quotes, escaped, cut after 40 bytes. What is no text is escaped byte by byte.
---@param value string
---@return string
function text.quoted(value)
  if #value > MAX_STRING then
    -- Cuts before a UTF-8 character rather than inside it.
    value = value:sub(1, MAX_STRING):gsub("[\xC0-\xFF]?[\x80-\xBF]*$", "") .. "..."
  end
  local quoted = string.format("%q", value):gsub("\\\n", "\\n")
  return utf8.len(quoted) and quoted or (quoted:gsub("[\x80-\xFF]", function(byte)
    return string.format("\\%d", byte:byte())
  end))
end

--- What a worker says, without what could steer a terminal.
---@param value string
---@return string
function text.printable(value)
  return (value:gsub("[^\n\t\x20-\x7E\x80-\xFF]", function(character)
    return string.format("\\x%02X", character:byte())
  end))
end

--- A value as it is written in Lua; a table or function by its type alone.
---@param value any
---@return string such as `"abc"`, `5`, `false`, `table`
function text.literal(value)
  local kind = type(value)
  if kind == "string" then
    return text.quoted(value)
  elseif kind == "number" or kind == "boolean" then
    return tostring(value)
  end
  return kind
end

--- A value with its type, to say what was given.
---@param value any
---@return string such as `string "abc"`, `number 5`, `nil`, `table`
function text.given(value)
  local kind, literal = type(value), text.literal(value)
  return literal == kind and kind or kind .. " " .. literal
end

--- The path of `key` inside `path`: `config.preload[2]`, `options.env["A=B"]`.
---@param path string may be empty
---@param key any
---@return string
function text.join(path, key)
  if type(key) == "string" and #key <= MAX_KEY and key:find("^[A-Za-z_][A-Za-z0-9_]*$") then
    return path == "" and key or path .. "." .. key
  end
  return path .. "[" .. text.literal(key) .. "]"
end

--- "a, b and c"; "none" for an empty list.
---@param words string[]
---@param last string the word before the last one: "and", "or"
---@return string
function text.enumerated(words, last)
  if #words < 2 then
    return words[1] or "none"
  end
  return table.concat(words, ", ", 1, #words - 1) .. " " .. last .. " " .. words[#words]
end

--- " from 1 to 9 bytes", " of at least 1 bytes", " of at most 9 bytes", or nothing.
---@param min any?
---@param max any?
---@param show fun(bound: any): string
---@param unit? string " bytes"
---@return string
function text.range(min, max, show, unit)
  local words = ""
  if min and max then
    words = " from " .. show(min) .. " to " .. show(max)
  elseif min then
    words = " of at least " .. show(min)
  elseif max then
    words = " of at most " .. show(max)
  end
  return words ~= "" and unit and words .. unit or words
end

--- The sentence about a feature that is known but not built.
---@param feature string "restarts", "the tcp transport"; a plural ends in "s"
---@return string
function text.not_built(feature)
  return string.format("%s %s not built in this version (titan %s) yet",
    feature, feature:find("s$") and "are" or "is", text.version)
end

return text
