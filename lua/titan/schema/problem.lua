--- What a check of the schema finds wrong: made by the kinds, raised by titan.schema.

local text = require "titan.text"

local problem = {}

---@class titan.SchemaProblem
---@field path string
---@field why string
---@field given string what was given: type and value, shortened
---@field allowed string
---@field mismatch? boolean the value is of another type altogether

-- A longer key is not a misspelt name, and comparing it with every name would cost.
local MAX_NAME <const> = 64

---@param path string
---@param why string
---@param value any what was given
---@param allowed string
---@param mismatch? boolean
---@return titan.SchemaProblem
function problem.new(path, why, value, allowed, mismatch)
  local given = text.given(value)
  return { path = path, why = why, given = given, allowed = allowed, mismatch = mismatch }
end

--- The value is not what was expected.
---@param path string
---@param value any
---@param allowed string
---@param mismatch? boolean
---@return titan.SchemaProblem
function problem.unexpected(path, value, allowed, mismatch)
  local why = string.format("expected %s, given %s", allowed, text.given(value))
  return problem.new(path, why, value, allowed, mismatch)
end

--- `did you mean "x"?`, or nil when no name is near.
---@param word string
---@param names string[] sorted, so that of two equally near names always the same wins
---@return string?
function problem.suggestion(word, names)
  if #word > MAX_NAME or #names == 0 then
    return nil
  end
  local nearest = require("titan.core").suggest(word, names)
  return nearest and string.format('did you mean "%s"?', nearest)
end

return problem
