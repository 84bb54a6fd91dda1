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

local core = require "titan.core"
local errors = require "titan.errors"
local keys = require "titan.store.keys"
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

-- One call that runs the method for all that have its key.
---@class titan.CacheFlight
---@field store table
---@field key string
---@field settled? boolean
local Flight = {}

---@param flight titan.CacheFlight
function Flight.__close(flight)
  if not flight.settled then
    flight.store:abandon(flight.key)
  end
end

---@class titan.CacheUse
---@field options titan.CacheOptions
---@field place titan.Place
---@field store table
---@field in_memory boolean

---@param use titan.CacheUse
---@param result any
---@param ... any the arguments
---@return boolean
local function is_wanted(use, result, ...)
  local condition = use.options.condition
  return not condition or keys.call(use.place, "cache.condition", condition, result, ...)
end

-- Ends the flight with these results. What cannot travel is not kept: it is an error where it
-- is to travel.
---@param use titan.CacheUse
---@param flight titan.CacheFlight
---@param results table
---@param ttl? integer
local function settle(use, flight, results, ttl)
  local ok, kept = true, results
  if not use.in_memory then
    ok, kept = pcall(core.encode, results)
  end
  if ok then
    use.store:settle(flight.key, kept, ttl)
    flight.settled = true
  end
end

---@param use titan.CacheUse
---@param key string
---@param inner titan.MethodFn
---@param self table
---@return any ...
local function run(use, key, inner, self, ...)
  local flight <close> = setmetatable({ store = use.store, key = key }, Flight)
  local results = table.pack(inner(self, ...))
  if is_wanted(use, results[1], ...) then
    settle(use, flight, results, use.options.ttl)
  else
    settle(use, flight, results, 0)
  end
  return table.unpack(results, 1, results.n)
end

---@param use titan.CacheUse
---@param key string
---@param inner titan.MethodFn
---@param self table
---@return any ...
local function claim(use, key, inner, self, ...)
  local ok, state, kept = pcall(use.store.claim, use.store, key)
  if not ok then
    local err = state
    if errors.is(err) and err.code == "limit_exceeded" then
      return inner(self, ...) -- more calls at once than the cache has entries
    end
    error(err, 0)
  elseif state == "mine" then
    return run(use, key, inner, self, ...)
  end
  local results = use.in_memory and kept or core.decode(kept)
  return table.unpack(results, 1, results.n)
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
    local use = { options = options, place = place, in_memory = options.store == "memory" }
    use.store = store.open(options.store, {
      space = string.format("cache %s.%s", place.scope, place.method),
      max_entries = options.max_entries,
    })
    local key_of = keys.of(place, "cache.key_fn", options.key_fn)
    if not use.in_memory then
      return function(self, ...)
        return claim(use, key_of(...), inner, self, ...)
      end
    end
    local kept_in, get, unpack = use.store, use.store.get, table.unpack
    return function(self, ...)
      local key = key_of(...)
      local results = get(kept_in, key)
      if results then
        return unpack(results, 1, results.n)
      end
      return claim(use, key, inner, self, ...)
    end
  end,
}
