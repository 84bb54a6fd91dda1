--- Expectations that luassert has no words for.

local assert = require "luassert"
local titan = require "titan"

local expect = {}

--- Calls `fn`, which must raise an error object of this code.
---@param code string
---@param fn function
---@param ... any its arguments
---@return titan.Error
function expect.error(code, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok, "nothing was raised")
  assert.is_true(titan.is_error(err), tostring(err))
  assert.equal(code, err.code, tostring(err))
  return err
end

--- Calls `fn`, which must raise a plain string that holds `part`.
---@param part string
---@param fn function
---@param ... any its arguments
function expect.complaint(part, fn, ...)
  local ok, why = pcall(fn, ...)
  assert.is_false(ok, "nothing was raised")
  assert.equal("string", type(why), tostring(why))
  expect.part(part, why)
end

--- `text` must hold each of `parts`, in this order.
---@param parts string|string[]
---@param text string
function expect.part(parts, text)
  local at = 1
  for _, part in ipairs(type(parts) == "table" and parts or { parts }) do
    local first, last = text:find(part, at, true)
    assert.truthy(first, string.format("%q is not in:\n%s", part, text))
    at = last + 1
  end
end

--- The traceback of an error whose message begins with its place must have that place.
---@param err titan.Error
function expect.origin(err)
  local place = err.message:match "^[^\n]-:%d+: "
  assert.truthy(place, "no place in: " .. err.message)
  expect.part(place, err.traceback)
end

return expect
