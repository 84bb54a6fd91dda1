--- `fallback = function(self, err, ...)`: what it returns is returned when the method raises.
--
-- Or `{ function, on = { "timeout", ... } }`, or `on = function(err)`, which say for what errors;
-- without, for all but `validation_failed`: that is a mistake of the caller. `cancelled` is never
-- caught: nobody waits any more. What the fallback itself raises has the first error in its
-- details, as `cause`; it may raise the error that it was given, which is then as it was.

local caught = require "titan.class.caught"
local errors = require "titan.errors"
local schema = require "titan.schema"
local sorted = require "titan.sorted"

---@class titan.Fallback
---@field fn fun(self: table, err: titan.Error, ...): ...
---@field on? fun(err: titan.Error): boolean
---@field codes? table<string, true>
---@field where string

---@param rule titan.Fallback
---@param raised any
---@return boolean
local function applies(rule, raised)
  local code = caught.code(raised)
  if code == "cancelled" then
    return false
  elseif rule.on then
    return caught.ask(rule.on, rule.where .. ": fallback.on", raised)
  elseif rule.codes then
    return rule.codes[code] == true
  end
  return code ~= "validation_failed"
end

-- How the fallback ended.
---@param rule titan.Fallback
---@param first titan.Error what it was called for
---@param raised any the same, as it was raised
---@param ok boolean
---@param ... any
---@return any ...
local function concluded(rule, first, raised, ok, ...)
  if ok then
    caught.forget()
    return ...
  end
  local second = ...
  if rawequal(second, first) or rawequal(second, raised) or caught.code(second) == "cancelled" then
    error(second, 0)
  end
  local err = caught.with_details(caught.seen(second), {
    cause = { code = first.code, message = first.message },
  })
  err.message = string.format("%s\n(raised by the fallback of %s, which was called for %s: %s)",
    err.message, rule.where, first.code, first.message)
  error(err, 0)
end

---@type titan.Schema
local on_schema <const> = {
  kind = "one_of", allowed = "a list of error codes, or a function",
  of = {
    { kind = "list", min = 1, of = { kind = "enum", values = sorted.keys(errors.codes) } },
    { kind = "function" },
  },
  doc = "the errors it is for",
}

---@type titan.Annotation
return {
  schema = {
    kind = "one_of", allowed = "a function, or a table with the function at [1]",
    of = {
      { kind = "function" },
      {
        kind = "table", allowed = "a table with a function at [1]",
        fields = { { kind = "function", required = true }, on = on_schema },
      },
    },
    doc = "what is returned when the method raises",
  },
  check = function(value, path)
    local on = type(value) == "table" and value.on
    for i, code in ipairs(type(on) == "table" and on or {}) do
      if code == "cancelled" then
        schema.refuse(string.format("%s.on[%d]", path, i), "cancelled is never caught, since the "
          .. "caller no longer waits", code, "any other code")
      end
    end
  end,
  wrap = function(inner, value, place)
    local written = type(value) == "table" and value or { value }
    ---@type titan.Fallback
    local rule = { fn = written[1], where = place.class .. "." .. place.method }
    if type(written.on) == "function" then
      rule.on = written.on
    elseif written.on then
      rule.codes = {}
      for _, code in ipairs(written.on) do
        rule.codes[code] = true
      end
    end
    local handler, counted, results = caught.handler, caught.counted, caught.results
    local xpcall = xpcall
    return function(self, ...)
      local ok, n, kept = counted(xpcall(inner, handler, self, ...))
      if ok then
        return results(n, kept)
      elseif not applies(rule, kept) then
        error(kept, 0)
      end
      local err = caught.seen(kept)
      return concluded(rule, err, kept, xpcall(rule.fn, handler, self, err, ...))
    end
  end,
}
