--- The worker that measures annotations in itself: a method that returns its argument, bare and
--- with one annotation after the other.

local core = require "titan.core"
local titan = require "titan"

local function plain(_, a)
  return a
end

local function size_of(a)
  return a < 5000 and "small" or "large"
end

local user <const> = { id = 7, name = "Ada Lovelace", email = "ada@example.org", admin = false }

-- What is measured, each with `text`, as it is written, and `args` of the call.
-- `caller`: the traceparent that the call comes with; `settle_ms`: so long for what is left to do.
-- `calls`: of a block, at most. `waits`: on the manager, so that its time counts and not its CPU's.
---@class bench.Case
---@field name string
---@field text string
---@field method table the annotations
---@field args table?
---@field calls integer?
---@field caller string?
---@field settle_ms integer?
---@field waits boolean?
---@type bench.Case[]
local cases <const> = {
  { name = "own", text = "one of the user's own", method = { own = true } },
  { name = "counter", text = 'metric = "name"', method = { metric = "bench.calls" } },
  { name = "metric", text = "metric = { counter =, histogram = }",
    method = { metric = { counter = "bench.both", histogram = "bench.both_ms" } } },
  { name = "labels", text = "  and labels = { size = function }", method = { metric = {
    counter = "bench.sizes", histogram = "bench.sizes_ms", labels = { size = size_of } } } },
  { name = "trace_left", text = "trace = true, not recorded by the caller",
    method = { trace = true },
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" },
  { name = "trace_begun", text = "trace = true, begun here and not recorded",
    method = { trace = true } },
  { name = "trace", text = "trace = true, recorded and sent", method = { trace = true },
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", calls = 500,
    settle_ms = 20 },
  { name = "validate", text = 'validate = { args = { "integer", "string" } }',
    method = { validate = { args = { "integer", "string" } } }, args = { 1234, "a name" } },
  { name = "validate_table", text = "  a table of 4 fields with limits",
    method = { validate = { args = { { fields = {
      id = { type = "integer", min = 1 }, name = { type = "string", min_len = 1, max_len = 80 },
      email = { type = "string", pattern = "^[^@]+@[^@]+$" }, admin = "boolean?",
    } } } } }, args = { user } },
  { name = "validate_result", text = '  result = "integer"',
    method = { validate = { result = "integer" } } },
  { name = "cache", text = "cache = true, a hit", method = { cache = true } },
  { name = "cache_table", text = "  by a table of 4 fields", method = { cache = true },
    args = { user } },
  { name = "cache_key", text = "  by key_fn", method = { cache = { key_fn = size_of } } },
  { name = "cache_manager", text = '  in the store "manager", by the wall',
    method = { cache = { store = "manager" } }, calls = 100, waits = true },
  { name = "idempotent", text = 'idempotent = { store = "memory" }, known',
    method = { idempotent = { store = "memory" } } },
  { name = "rate_limit", text = 'rate_limit = { rps =, store = "memory" }',
    method = { rate_limit = { rps = 1e5, burst = 1e6, store = "memory" } } },
  { name = "rate_limit_manager", text = '  in the store "manager", by the wall',
    method = { rate_limit = { rps = 1e5, burst = 1e6 } }, calls = 100, waits = true },
  { name = "fallback", text = "fallback = function", method = { fallback = plain } },
  { name = "retry", text = "retry = 3", method = { retry = 3 } },
  { name = "circuit_breaker", text = "circuit_breaker = {}", method = { circuit_breaker = {} } },
  { name = "bulkhead", text = "bulkhead = 4", method = { bulkhead = 4 } },
  { name = "timeout", text = 'timeout = "1m"', method = { timeout = "1m" } },
  { name = "all", text = "metric, validate, and the five before", method = {
    metric = "bench.all", validate = { args = { "integer" } }, fallback = plain, retry = 3,
    circuit_breaker = {}, bulkhead = 4, timeout = "1m",
  } },
}

local methods = { bare = { plain } }
local by_name = {}
for _, case in ipairs(cases) do
  methods["case_" .. case.name] = table.move({ plain }, 1, 1, 1, case.method)
  by_name[case.name] = case
end

-- The CPU time of this process: what others do on a busy machine meanwhile does not count.
local cpu_seconds <const> = os.clock

local function wall_seconds()
  return core.monotonic_ms() / 1000
end

---@return number ns a call
local function block(self, method, case, calls, ...)
  local seconds = case.waits and wall_seconds or cpu_seconds
  local start = seconds()
  for _ = 1, calls do
    self[method](self, ...)
  end
  if case.settle_ms then
    titan.sleep(case.settle_ms)
  end
  return (seconds() - start) * 1e9 / calls
end

methods.cases = { public = true, function()
  local list = {}
  for i, case in ipairs(cases) do
    list[i] = { name = case.name, text = case.text, caller = case.caller }
  end
  return list
end }

--- What each call took, ns, with the annotation and without, block by block in turn.
methods.measure = { public = true, function(self, name, blocks, calls)
  local case, with, bare = by_name[name], {}, {}
  local args = case.args or { 1234 }
  calls = math.min(calls, case.calls or calls)
  for i = 0, blocks do -- the first one warms up
    bare[i] = block(self, "bare", case, calls, table.unpack(args))
    with[i] = block(self, "case_" .. name, case, calls, table.unpack(args))
  end
  return with, bare
end }

return titan.process {
  annotations = {
    own = {
      schema = { kind = "boolean" },
      wrap = function(inner)
        return function(self, ...)
          return inner(self, ...)
        end
      end,
    },
  },
  methods = methods,
}
