--- `validate = { args = { schema, ... }, result = schema }`: what a method may be given and return.
--
-- A schema is described in titan.validation. `args` has one for each argument and may have `rest`
-- for those that follow; without it there may be none. `result` is the schema of the one result, or
-- a list as `args` is. What does not fit is `validation_failed`, with a path: `args[2].width`,
-- `result.status`, `result[2]`. Arguments are checked before anything else is done with the call,
-- results where they leave the method.

local errors = require "titan.errors"
local foreign = require "titan.class.foreign"
local schema = require "titan.schema"
local text = require "titan.text"
local validation = require "titan.validation"
local values = require "titan.validation.values"

---@class titan.Validated compiled where the class is declared
---@field checks titan.Check[]
---@field rest? titan.Check
---@field is_single? boolean a result that is not in a list

-- How much of a path says where the class is and not where in the annotation.
---@param where string
---@param base integer
---@return string such as `validate.args[1].check`
local function inside(where, base)
  return where:sub(base + 1)
end

---@param written any
---@param path string
---@return titan.Validated
local function compiled_result(written, path)
  if type(written) == "table"
    and (rawlen(written) > 0 or next(written) == nil or rawget(written, "rest") ~= nil) then
    local checks, rest = validation.compile_list(written, path)
    return { checks = checks, rest = rest }
  end
  return { checks = { (validation.compile(written, path)) }, is_single = true }
end

---@param value table the checked copy, in which what is compiled is kept
---@param path string
local function check(value, path)
  if value.args == nil and value.result == nil then
    schema.refuse(path, "nothing is checked; give args, result, or both", value, "args, result")
  end
  value.base = #path - #"validate"
  if value.args then
    local checks, rest = validation.compile_list(value.args, path .. ".args")
    value.compiled_args = { checks = checks, rest = rest }
  end
  if value.result ~= nil then
    value.compiled_result = compiled_result(value.result, path .. ".result")
  end
end

-- A function that raises when the values it is called with do not fit.
---@param of titan.Validated
---@param noun "argument"|"result"
---@param value table
---@param place titan.Place
---@return fun(...)
local function verifier(of, noun, value, place)
  local root <const> = noun == "argument" and "args" or "result"
  local ending <const> = noun == "argument" and "" or " (the method returned it)"
  return values.verifier(of.checks, of.rest, noun, function(index, at, expected, given, why, fault)
    if fault then
      foreign.raise(string.format("%s.%s: %s", place.class, place.method,
        inside(fault.where, value.base)), fault.err)
    end
    local path = (of.is_single and index == 1 and root or root .. "[" .. index .. "]") .. at
    errors.raise("validation_failed", values.sentence(path, expected, given, why) .. ending, {
      details = {
        path = path, expected = expected,
        given = (given ~= nil or not why) and text.literal(given) or nil,
      },
    })
  end)
end

-- Of a stream the items are the results. Its end is none.
---@param inner titan.MethodFn
---@param verified fun(...): ...
---@return titan.MethodFn
local function each_item(inner, verified)
  local function item(first, ...)
    if first ~= nil then
      return verified(first, ...)
    end
  end
  return function(...)
    local next_item, state, control, closing = inner(...)
    return function(at, before)
      return item(next_item(at, before))
    end, state, control, closing
  end
end

---@type titan.Annotation
return {
  schema = {
    kind = "table", optional = true,
    fields = {
      args = { kind = "any", type = "table", allowed = "a list of schemas",
        doc = "one for each argument, and `rest`; see titan.validation" },
      result = { kind = "any", doc = "the schema of the result, or a list of them" },
    },
    doc = "what the method may be given and may return",
  },
  check = check,
  wrap = function(inner, value, place)
    if not value.compiled_args then
      return inner
    end
    local verify = verifier(value.compiled_args, "argument", value, place)
    return function(self, ...)
      verify(...)
      return inner(self, ...)
    end
  end,
  wrap_inside = function(inner, value, place)
    if not value.compiled_result then
      return inner
    end
    local verify = verifier(value.compiled_result, "result", value, place)
    local function verified(...)
      verify(...)
      return ...
    end
    if place.stream then
      return each_item(inner, verified)
    end
    return function(...)
      return verified(inner(...))
    end
  end,
}
