--- Proxies: what stands in for a worker in the caller's program.
--
-- `proxy:method(...)` looks like a call of the worker's own method. Each method becomes a
-- function of the C core on first use and is kept in the proxy, so that a call costs one
-- table access more than the call itself.

local core = require "titan.core"
local errors = require "titan.errors"
local schema = require "titan.schema"
local shared = require "titan.config.shared"
local tasks = require "titan.tasks"

local proxy = {}

---@class titan.Backend what a proxy stands for
---@field name string
---@field method fun(owner: table, name: string, timeout: integer): function, boolean? the function
--- of a method, and whether it may be kept
---@field own table<string, function> further names, such as __id
---@field timeout integer ms, 0 for none: of calls that say no other
---@field text fun(): string for tostring

local with_schema = {
  kind = "table",
  fields = {
    timeout = shared.deadline_schema "of this call; false for none",
    priority = { kind = "any", pending = "priorities" },
    idempotency_key = { kind = "any", pending = "idempotent methods" },
    headers = { kind = "any", pending = "headers" },
  },
}

-- A function that only raises: so that `pcall(worker.nonsense, worker)` catches it.
---@param err titan.Error
---@return function
local function refusal(err)
  return function()
    error(err, 0)
  end
end

---@param make fun(owner: table, key: string): any, boolean?
---@param text fun(): string
---@return table
local function lazy(make, text)
  return setmetatable({}, {
    __name = "titan.Proxy",
    __tostring = text,
    __index = function(owner, key)
      if type(key) ~= "string" then
        return nil
      end
      local value, keep = make(owner, key)
      if keep ~= false then
        rawset(owner, key, value)
      end
      return value
    end,
    __newindex = function()
      errors.raise("invalid_config", "a proxy cannot be written to: its methods are the worker's")
    end,
  })
end

---@param of table the proxy
---@param backend titan.Backend
---@return table
local function async_of(of, backend)
  local async
  async = lazy(function(_, name)
    local method = of[name]
    return function(self, ...)
      if self ~= async then
        error(string.format("titan: call it with a colon: worker.async:%s(...)", name), 2)
      end
      return tasks.go(method, of, ...)
    end, rawget(of, name) ~= nil
  end, function()
    return backend.text() .. ".async"
  end)
  return async
end

---@param backend titan.Backend
---@param timeout integer
---@return table
local function with_timeout(backend, timeout)
  return lazy(function(owner, key)
    if key == "async" then
      return async_of(owner, backend)
    elseif key == "with" then
      return function(_, options)
        return proxy.with(backend, options, timeout)
      end
    elseif backend.own[key] then
      return backend.own[key]
    end
    return backend.method(owner, key, timeout)
  end, backend.text)
end

-- Proxies by their timeout: `with` in a loop makes only one.
local by_timeout = setmetatable({}, { __mode = "k" })

--- The proxy that `with` returns.
---@param backend titan.Backend
---@param options { timeout: number|string|false|nil }
---@param timeout integer what holds when the options do not say
---@return table
function proxy.with(backend, options, timeout)
  local checked = schema.check(with_schema, options, "with")
  if checked.timeout ~= nil then
    timeout = checked.timeout or 0
  end
  local known = by_timeout[backend] or {}
  by_timeout[backend] = known
  known[timeout] = known[timeout] or with_timeout(backend, timeout)
  return known[timeout]
end

---@param backend titan.Backend
---@return table
function proxy.new(backend)
  return with_timeout(backend, backend.timeout)
end

-- A worker of this manager -----------------------------------------------------------

--- Why a method cannot be called, on either side of the wire.
---@param info { name: string?, methods: table<string, integer|false>, names: string[] } the
--- process, its methods (false: private), the sorted names of the public ones
---@param name string|integer a number that stands for none
---@return titan.Error
function proxy.no_such_method(info, name)
  local fields = { process = info.name, method = name }
  if info.methods[name] == false then
    return errors.new("not_public", string.format("%s is private; declare it with public = true "
      .. "to call it from outside", name), fields)
  end
  local nearest = type(name) == "string" and core.suggest(name, info.names)
  local known = #info.names > 0 and "it has " .. table.concat(info.names, ", ")
    or "it has no public methods"
  local hint = nearest and string.format("did you mean %s?", nearest) or known
  return errors.new("method_not_found", string.format("there is no method %s; %s", name, hint),
    fields)
end

--- The names of the public methods, sorted.
---@param methods table<string, integer|false>
---@return string[]
function proxy.public_names(methods)
  local names = {}
  for name, id in pairs(methods) do
    if id then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

--- What a proxy needs of a process of this manager. `info` is read at each use: a restart may
--- change what it says.
---@param process userdata
---@param info { name: string, methods: table<string, integer|false>, names: string[] }
---@param own table<string, function>
---@param timeout integer
---@return titan.Backend
function proxy.of_process(process, info, own, timeout)
  return {
    name = info.name, own = own, timeout = timeout,
    text = function()
      return string.format("titan service %s (%s)", info.name, (core.process_state(process)))
    end,
    method = function(owner, name, deadline)
      local id = info.methods[name]
      if not id then
        return refusal(proxy.no_such_method(info, name)), false
      end
      return core.process_method(process, owner, name, info.name, deadline, id)
    end,
  }
end

-- Another service, from inside a worker ------------------------------------------------

--- What a proxy needs of a service that the manager passes calls on to.
---@param name string
---@param timeout integer
---@return titan.Backend
function proxy.of_service(name, timeout)
  return {
    name = name, own = {}, timeout = timeout,
    text = function()
      return "titan service " .. name
    end,
    method = function(owner, method, deadline)
      return core.service_method(nil, owner, method, name, deadline)
    end,
  }
end

return proxy
