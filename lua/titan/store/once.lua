--- Runs a method once for all calls with the same key: the first that comes runs it, the others
--- wait for its results, and those that come later get them from the store.
--
-- One that raises has no results: of those who wait the first runs the method, and so on. Results
-- are kept with the claim still in hand, so nobody can run it in between.

local core = require "titan.core"

local encode_list = core.encode_list

local once = {}

---@class titan.Once
---@field store table
---@field in_memory boolean whether results are kept as they are, not as they travel
---@field ttl? integer ms the results are kept for
---@field ttl_of? fun(use: titan.Once, result: any, ...): integer? without it: the same, by the
--- first of the results and the arguments; 0: only for those who wait
---@field lenient? boolean whether results that cannot travel are let through, and not kept

-- One call that runs the method for all that have its key.
---@class titan.Flight
---@field store table
---@field key string
---@field settled boolean
local Flight = {}

---@param flight titan.Flight
function Flight.__close(flight)
  if not flight.settled then
    flight.store:abandon(flight.key)
  end
end

---@param use titan.Once
---@return any kept nil for what cannot travel
local function as_kept(use, ...)
  if use.in_memory then
    return table.pack(...)
  elseif not use.lenient then
    return encode_list("result", ...)
  end
  local ok, kept = pcall(encode_list, "result", ...)
  return ok and kept or nil
end

---@param use titan.Once
---@param flight titan.Flight
---@param ttl integer?
local function keep(use, flight, ttl, ...)
  local kept = as_kept(use, ...)
  if kept ~= nil then
    use.store:settle(flight.key, kept, ttl)
    flight.settled = true
  end
  return ...
end

---@param use titan.Once
---@param flight titan.Flight
---@param results table
local function keep_as_said(use, flight, results, ...)
  return keep(use, flight, use:ttl_of(results[1], ...), table.unpack(results, 1, results.n))
end

--- Runs it with the claim of the key in hand.
---@param use titan.Once
---@param key string
---@param inner titan.MethodFn
---@param self table
---@param ... any
---@return any ...
function once.run(use, key, inner, self, ...)
  local flight <close> = setmetatable({ store = use.store, key = key, settled = false }, Flight)
  if use.ttl then
    return keep(use, flight, use.ttl, inner(self, ...))
  end
  return keep_as_said(use, flight, table.pack(inner(self, ...)), ...)
end

--- What was kept, as the method returned it.
---@param use titan.Once
---@param kept any
---@return any ...
function once.results(use, kept)
  if use.in_memory then
    return table.unpack(kept, 1, kept.n)
  end
  return core.decode_list(kept)
end

---@param use titan.Once
---@param try titan.RemoteTry
local function keep_of_try(use, try, ...)
  local kept = as_kept(use, ...)
  if kept ~= nil then
    try:settle(kept, use.ttl)
  end
  return ...
end

-- The same as claim and run, of a store that has the two as one: fewer steps for each call.
---@param use titan.Once
---@param key string
---@param inner titan.MethodFn
---@param self table
---@param ... any
---@return any ...
local function call_by_try(use, key, inner, self, ...)
  local try <close> = use.store:try(key)
  local kept = try:claim()
  if kept ~= nil then
    return once.results(use, kept)
  end
  return keep_of_try(use, try, inner(self, ...))
end

--- Runs it, waits for it, or finds its results.
---@param use titan.Once
---@param key string
---@param inner titan.MethodFn
---@param self table
---@param ... any
---@return any ...
function once.call(use, key, inner, self, ...)
  if use.ttl and use.store.try then
    return call_by_try(use, key, inner, self, ...)
  end
  local state, kept = use.store:claim(key)
  if state == "mine" then
    return once.run(use, key, inner, self, ...)
  end
  return once.results(use, kept)
end

return once
