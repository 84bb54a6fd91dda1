--- Every annotation a method can have.
--
-- An annotation is a file of its own in this folder, each of the same shape, which a user's own
-- annotation has as well (`annotations` of titan.process). Where the class is declared, `schema`
-- says what may be written, `check` refuses what a schema cannot express, and `apply` notes a
-- plain fact about the method. Where the method runs, `wrap` puts a function around it.

---@alias titan.MethodFn fun(self: table, ...): ...

---@class titan.Annotation
---@field schema titan.Schema
---@field check? fun(value: any, path: string) raises `invalid_config` (`titan.schema`.refuse)
---@field apply? fun(method: titan.Method, value: any) called once, with a checked value
---@field wrap? fun(inner: titan.MethodFn, value: any, place: titan.Place): titan.MethodFn called
--- once in each process that serves the method; not for the value false
---@field wrap_inside? fun(inner: titan.MethodFn, value: any, place: titan.Place): titan.MethodFn
--- the same, for what belongs next to the method, inside of every `wrap`
---@field wrap_entry? fun(outer: titan.MethodFn, value: any, place: titan.Place): titan.MethodFn
--- the same, around all of it, and only for calls that come from outside: `self:method()` does not
--- pass it. That of the outermost annotation is the innermost here
---@field excludes? table<string, string> annotations it cannot be with -> why

---@class titan.Place where a method with annotations runs
---@field class string what the class is called
---@field method string
---@field process string the name of the process
---@field scope string the name of the service, which is that of the pool if it is in one: what is
--- kept in a shared store is shared by the processes of the same scope
---@field stream boolean whether it returns an iterator

local all = {}

-- Facts about the method.
local facts <const> = { "public", "on_shutdown", "child", "health_check", "description" }

-- What is put around it, from the outermost to the innermost: a call passes them in this order and
-- its answer comes back the other way.
local outer <const> = { "trace", "metric" }
local inner <const> = {
  "validate", "fallback", "cache", "idempotent", "rate_limit", "retry", "circuit_breaker", "bulkhead",
  "timeout", "stream",
}

---@param names string[]
---@param list { name: string, annotation: titan.Annotation }[]
local function append(names, list)
  for _, name in ipairs(names) do
    list[#list + 1] = { name = name, annotation = require("titan.annotations." .. name) }
  end
end

--- The annotations in the order in which they are applied, with those of the user's own in their
--- place: outside of all but trace and metric.
---@param own? table<string, titan.Annotation>
---@param own_names? string[] sorted
---@return { name: string, annotation: titan.Annotation }[]
function all.list(own, own_names)
  local list = {}
  append(facts, list)
  append(outer, list)
  for _, name in ipairs(own_names or {}) do
    list[#list + 1] = { name = name, annotation = own[name] }
  end
  append(inner, list)
  return list
end

--- Those that are not built yet: name -> the feature they belong to.
---@type table<string, string>
all.pending = {
  stage = "workflows",
  compensate = "workflows",
}

return all
