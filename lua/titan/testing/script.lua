--- Answers that a test has written down, instead of what the worker's methods would do.

local errors = require "titan.errors"
local schema = require "titan.schema"
local tasks = require "titan.tasks"
local text = require "titan.text"

local script = {}

---@class titan.Answer
---@field package path string
---@field package act? fun(self: table, ...): ... what stands in for the method
---@field package left? integer how often it is still to be used; nil for always
---@field package wait? integer ms
local Answer = {}
Answer.__index = Answer

---@param self titan.Answer
---@param act fun(self: table, ...): ...
local function set(self, act)
  if self.act then
    errors.raise("invalid_config", self.path .. ": it says already what happens; ask on(...) for "
      .. "another answer")
  end
  self.act = act
  return self
end

--- The call returns these.
---@param ... any
---@return titan.Answer self
function Answer:returns(...)
  local results = table.pack(...)
  return set(self, function()
    return table.unpack(results, 1, results.n)
  end)
end

--- The call raises this.
---@param code titan.ErrorCode
---@param message string
---@param fields? titan.ErrorFields
---@return titan.Answer self
function Answer:raises(code, message, fields)
  local ok, err = pcall(errors.new, code, message, fields)
  if not ok then
    schema.refuse(self.path .. ".raises", tostring(err):gsub("^.-errors%.new: ", ""), code,
      "a code of titan.Error, a message, and perhaps the error's fields")
  end
  return set(self, function()
    errors.raise(code, message, fields)
  end)
end

--- `fn` stands in for the method: it gets what the method would, the worker's self first.
---@param fn fun(self: table, ...): ...
---@return titan.Answer self
function Answer:calls(fn)
  if type(fn) ~= "function" then
    schema.refuse(self.path .. ".calls", "expected a function, given " .. text.given(fn), fn,
      "a function")
  end
  return set(self, fn)
end

--- Only for so many calls; after that the next answer, or the method itself.
---@param count integer
---@return titan.Answer self
function Answer:times(count)
  self.left = schema.check({ kind = "integer", required = true, min = 0 }, count,
    self.path .. ".times")
  return self
end

--- Not at once: after so long on the clock.
---@param duration number|string
---@return titan.Answer self
function Answer:after(duration)
  self.wait = schema.check({ kind = "duration", required = true }, duration, self.path .. ".after")
  return self
end

---@class titan.Script
---@field package answers table<string, titan.Answer[]> by service and method
local Script = {}
Script.__index = Script

---@param service string
---@param method string
---@return string
local function key_of(service, method)
  return service .. "\0" .. method
end

--- An answer to be filled. Those that are limited come first, in their order; of the others the
--- newest counts.
---@param service string
---@param method string
---@return titan.Answer
function Script:on(service, method)
  local answer = setmetatable({ path = string.format("on(%q, %q)", service, method) }, Answer)
  local key = key_of(service, method)
  self.answers[key] = self.answers[key] or {}
  table.insert(self.answers[key], answer)
  return answer
end

--- The methods of a service that there are answers for.
---@param service string
---@return string[] sorted
function Script:methods_of(service)
  local names = {}
  for key in pairs(self.answers) do
    local of, method = key:match "^(.-)%z(.*)$"
    names[#names + 1] = of == service and method or nil
  end
  table.sort(names)
  return names
end

---@param answers titan.Answer[]
---@return titan.Answer?
local function choose(answers)
  local lasting
  for _, answer in ipairs(answers) do
    if answer.act and answer.left and answer.left > 0 then
      return answer
    elseif answer.act and not answer.left then
      lasting = answer
    end
  end
  return lasting
end

---@param service string
---@param method string
---@return boolean
function Script:has(service, method)
  local answers = self.answers[key_of(service, method)]
  return answers ~= nil and choose(answers) ~= nil
end

--- What is to be done instead of the method, and one use less of it; nil when nothing is said.
---@param service string
---@param method string
---@return (fun(self: table, ...): ...)?
function Script:take(service, method)
  local answers = self.answers[key_of(service, method)]
  local answer = answers and choose(answers)
  if not answer then
    return nil
  end
  answer.left = answer.left and answer.left - 1
  local wait, act = answer.wait, answer.act
  if not wait then
    return act
  end
  return function(...)
    tasks.sleep(wait)
    return act(...)
  end
end

---@return titan.Script
function script.new()
  return setmetatable({ answers = {} }, Script)
end

return script
