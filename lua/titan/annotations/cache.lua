--- `cache = true`, or `cache = { ttl, key_fn, condition, max_entries, store }`: the results of a
--- call are kept, and calls with the same key get them without running the method.
--
-- While a method runs for a key, other calls with that key wait for it: it runs once (single
-- flight), in this process or, with a store that is shared, in all processes of the service.
-- Errors are not kept: of those who waited for a call that failed, the first runs the method, and
-- so on. All results are kept, nil too.
--
-- The default key is core.digest of the arguments: their content, in which 1 and 1.0 differ.
-- `condition(result, ...)` gets the first result and the arguments, and says whether to keep the
-- results; those who wait for them get them in any case. In the store "memory" the results
-- are kept as they are: a method that calls this one of its own process must not change a
-- table it got. The other stores keep them as they travel.

local errors = require "titan.errors"
local keys = require "titan.store.keys"
local once = require "titan.store.once"
local schema = require "titan.schema"
local store = require "titan.store"

---@class titan.CacheOptions
---@field ttl? integer ms; for good, if nothing else takes its place
---@field key_fn? fun(...): string|number
---@field condition? fun(result: any, ...): boolean
---@field max_entries integer
---@field store "memory"|"manager"|"sqlite"

---@type table<string, titan.Schema>
local fields = {
  ttl = { kind = "duration", min = 1, doc = "how long results are kept" },
  key_fn = { kind = "function", doc = "(...) -> what calls with the same results have in common" },
  condition = { kind = "function", doc = "(result, ...) -> whether to keep it" },
  max_entries = {
    kind = "integer", min = 1, default = 1000,
    doc = "of the keys in memory; those not asked for the longest give way",
  },
  store = store.schema "memory",
}

---@type titan.Schema
local options_schema = { kind = "table", fields = fields }

---@class titan.CacheUse: titan.Once
---@field options titan.CacheOptions
---@field place titan.Place

---@param use titan.CacheUse
local function ttl_of(use, result, ...)
  local options = use.options
  if options.condition
    and not keys.call(use.place, "cache.condition", options.condition, result, ...) then
    return 0
  end
  return options.ttl
end

---@param use titan.CacheUse
---@param key string
---@param inner titan.MethodFn
---@param self table
---@return any ...
local function look_or_run(use, key, inner, self, ...)
  local ok, state, kept = pcall(use.store.claim, use.store, key)
  if not ok then
    local err = state
    if errors.is(err) and err.code == "limit_exceeded" then
      return inner(self, ...) -- more calls at once than the cache has entries
    end
    error(err, 0)
  elseif state == "mine" then
    return once.run(use, key, inner, self, ...)
  end
  return once.results(use, kept)
end

---@type titan.Annotation
return {
  schema = {
    kind = "one_of", allowed = "true, false or a table",
    of = { { kind = "boolean" }, options_schema },
    doc = "whether and how results are kept",
  },
  check = function(value, path)
    if type(value) == "table" and value.store == "sqlite" and not value.ttl then
      schema.refuse(path .. ".ttl", 'required with store = "sqlite": nothing else takes results '
        .. "out of the file", value.ttl, "a duration")
    end
  end,
  wrap = function(inner, value, place)
    local options = value == true and schema.check(options_schema, {}, "cache") or value
    local use = {
      options = options, place = place, in_memory = options.store == "memory", ttl_of = ttl_of,
      lenient = true,
    }
    use.store = store.open(options.store, {
      space = store.space("cache", place),
      max_entries = options.max_entries,
    })
    local key_of = keys.of(place, "cache.key_fn", options.key_fn)
    if not use.in_memory then
      return function(self, ...)
        return look_or_run(use, key_of(...), inner, self, ...)
      end
    end
    local kept_in, get, unpack = use.store, use.store.get, table.unpack
    return function(self, ...)
      local key = key_of(...)
      local results = get(kept_in, key)
      if results then
        return unpack(results, 1, results.n)
      end
      return look_or_run(use, key, inner, self, ...)
    end
  end,
}
