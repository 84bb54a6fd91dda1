--- The functions of an annotation that are the user's: which key a call has, and the like.

local core = require "titan.core"
local errors = require "titan.errors"
local tasks = require "titan.tasks"
local text = require "titan.text"

local keys = {}

local pcall, type = pcall, type

local KEY_MAX <const> = 256 -- bytes; of a longer one its digest is kept

---@param place titan.Place
---@param what string "cache.key_fn"
---@param why string
local function refuse(place, what, why)
  errors.raise("remote_error", string.format("%s.%s: %s %s", place.class, place.method, what, why),
    { process = place.process, method = place.method })
end

---@param place titan.Place
---@param what string
---@param ok boolean
---@return any ... the results of fn
local function called(place, what, ok, ...)
  if not ok then
    refuse(place, what, "raised: " .. tasks.text_of((...)))
  end
  return ...
end

--- Calls a user's function; an error in it is one of the call that says whose it was.
---@param place titan.Place
---@param what string "cache.condition"
---@param fn function
---@param ... any its arguments
---@return any ...
function keys.call(place, what, fn, ...)
  return called(place, what, pcall(fn, ...))
end

--- What makes the key of a call from its arguments: the user's function, whose number is the
--- same key as its text, or else core.digest.
---@param place titan.Place
---@param what string "cache.key_fn"
---@param key_fn? fun(...): string|number
---@return fun(...): string
function keys.of(place, what, key_fn)
  if not key_fn then
    return core.digest
  end
  return function(...)
    local ok, key = pcall(key_fn, ...)
    local kind = ok and type(key)
    if kind == "string" then
      return #key <= KEY_MAX and key or core.digest(key)
    elseif not ok then
      called(place, what, false, key)
    elseif kind ~= "number" then
      refuse(place, what, string.format("returned %s; it must return a string or a number",
        key == nil and "nil" or "a " .. text.given(key)))
    end
    return key .. "" -- the same as tostring, in half the time
  end
end

return keys
