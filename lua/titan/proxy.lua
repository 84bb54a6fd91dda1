--- Proxies: what stands in for a worker in the caller's program.
--
-- `proxy:method(...)` looks like a call of the worker's own method. Each method becomes a
-- function of the C core on first use and is kept in the proxy, so that a call costs one
-- table access more than the call itself. What only managers need of proxies, and what `with`
-- takes, is in files of its own in this folder.

local core = require "titan.core"

local proxy = {}

---@class titan.Backend what a proxy stands for
---@field name string
---@field method fun(owner: table, name: string, timeout: integer, how: titan.CallOptions):
--- function, boolean? the function of a method, and whether it may be kept
---@field own table<string, function> further names, such as __id
---@field live? table<string, fun(): any> names whose value is another each time
---@field pooled? boolean whether it is a pool, which has more options for a call
---@field has_many? boolean whether `method` knows of titan.CallOptions.of_many
---@field timeout integer ms, 0 for none: of calls that say no other
---@field text fun(): string for tostring

---@class titan.CallOptions
---@field of_many? boolean of a function for many proxies, whose [1] is the idempotency key of the
--- calls that are made on them: `owner` is their metatable
---@field pairs? table what goes along with each call, of which core.call_header makes its header
---@field priority? integer of a pool: the highest of the calls that wait goes first
---@field key? string|number of a pool: calls with the same go to the same worker, with the
--- strategies consistent_hash and ip_hash

--- For methods that are Lua functions: those of the core see to it themselves.
---@param given any what the method was called on
---@param owner table
---@param name string
function proxy.check_self(given, owner, name)
  if not rawequal(given, owner) then
    error(string.format("titan: call the method with a colon: worker:%s(...)", name), 3)
  end
end

---@param make fun(owner: table, key: string): any, boolean?
---@param shown fun(): string
---@return table metatable of what is made on first use
local function lazy(make, shown)
  return {
    __name = "titan.Proxy",
    __tostring = shown,
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
      require("titan.errors").raise("invalid_config",
        "a proxy cannot be written to: its methods are the worker's")
    end,
  }
end

---@param of table the proxy
---@param backend titan.Backend
---@return table
local function async_of(of, backend)
  local async = {}
  return setmetatable(async, lazy(function(_, name)
    local method = of[name]
    return function(self, ...)
      if self ~= async then
        error(string.format("titan: call it with a colon: worker.async:%s(...)", name), 2)
      end
      return require("titan.tasks").go(method, of, ...)
    end, rawget(of, name) ~= nil
  end, function()
    return backend.text() .. ".async"
  end))
end

--- Where a proxy keeps its titan.CallOptions: a key that nobody else has.
proxy.HOW = {}
local HOW <const> = proxy.HOW

-- By the backend, then by the timeout: a proxy made for one call is two tables and no more.
local metatables = setmetatable({}, { __mode = "k" })

---@param backend titan.Backend
---@param timeout integer
---@return table
local function new_metatable(backend, timeout)
  return lazy(function(owner, key)
    local how = rawget(owner, HOW)
    if key == "async" then
      return async_of(owner, backend)
    elseif key == "with" then
      return function(_, options)
        return require("titan.proxy.options").with(backend, options, timeout, how)
      end
    elseif backend.own[key] then
      return backend.own[key]
    elseif backend.live and backend.live[key] then
      return backend.live[key](), false
    elseif key == "__method" and backend.pooled then
      return function(name)
        return (backend.method(owner, name, timeout, how))
      end
    end
    return backend.method(owner, key, timeout, how)
  end, backend.text)
end

--- That of all proxies with their own options.
---@param backend titan.Backend
---@param timeout integer
---@return table
function proxy.metatable_of(backend, timeout)
  local known = metatables[backend] or {}
  metatables[backend] = known
  known[timeout] = known[timeout] or new_metatable(backend, timeout)
  return known[timeout]
end

--- A proxy with options of its own.
---@param backend titan.Backend
---@param timeout integer
---@param how titan.CallOptions
---@return table
function proxy.with_options(backend, timeout, how)
  return setmetatable({ [HOW] = how }, proxy.metatable_of(backend, timeout))
end

---@param backend titan.Backend
---@return table
function proxy.new(backend)
  return proxy.with_options(backend, backend.timeout, {})
end

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
    method = function(owner, method, deadline, how)
      return core.service_method(nil, owner, method, name, deadline,
        how.pairs and core.call_header(how.pairs))
    end,
  }
end

return setmetatable(proxy, { __index = core.later {
  with_schema = "titan.proxy.options:with_schema", pools_only = "titan.proxy.options:pools_only",
  with = "titan.proxy.options:with", invoke = "titan.proxy.options:invoke",
  refusal = "titan.proxy.missing:refusal", no_such_method = "titan.proxy.missing:error",
  of_process = "titan.proxy.process:backend",
} })
