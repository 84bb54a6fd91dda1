--- Every annotation a method can have.
--
-- An annotation is a file of its own in this folder, each of the same shape: `schema`
-- says what may be written, `apply` puts a checked value to work on the method. Those
-- of `pending` have a name and a meaning but no file yet.

---@class titan.Annotation
---@field schema titan.Schema
---@field apply fun(method: titan.Method, value: any) called once, with a checked value

local all = {}

--- The annotations that work, in the order in which they are applied.
---@type { name: string, annotation: titan.Annotation }[]
all.built = {
  { name = "public", annotation = require "titan.annotations.public" },
  { name = "on_shutdown", annotation = require "titan.annotations.on_shutdown" },
  { name = "child", annotation = require "titan.annotations.child" },
  { name = "health_check", annotation = require "titan.annotations.health_check" },
  { name = "description", annotation = require "titan.annotations.description" },
  { name = "idempotent", annotation = require "titan.annotations.idempotent" },
}

--- Those that are not built yet: name -> the feature they belong to.
---@type table<string, string>
all.pending = {
  stage = "workflows",
  compensate = "workflows",
  stream = "streams",
  trace = "tracing",
  metric = "custom metrics",
  validate = "argument schemas",
  cache = "caching",
  circuit_breaker = "circuit breakers",
  rate_limit = "rate limits",
  retry = "retries",
  timeout = "timeouts of methods",
  bulkhead = "bulkheads",
  fallback = "fallbacks",
}

return all
