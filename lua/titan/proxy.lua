--- Proxies: what stands in for a worker in the caller's program.
--
-- `proxy:method(...)` looks like a call of the worker's own method. Each method becomes a
-- function of the C core on first use and is kept in the proxy, so that a call costs one
-- table access more than the call itself.

local core = require "titan.core"
local errors = require "titan.errors"
local idempotency = require "titan.idempotency"
local schema = require "titan.schema"
local shared = require "titan.config.shared"
local tasks = require "titan.tasks"
local text = require "titan.text"

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

local POOLS_ONLY <const> = "it is for pools: a single process takes calls in the order they come"

local KEY_MAX <const> = 256 -- bytes

---@type titan.Schema
local with_schema = {
  kind = "table",
  fields = {
    timeout = shared.deadline_schema "of this call; false for none",
    priority = { kind = "integer", min = -1000, max = 1000 },
    key = { kind = "one_of", of = { { kind = "string" }, { kind = "number" } } },
    idempotency_key = {
      kind = "string", min = 1, max = KEY_MAX,
      doc = "calls with the same are one, of a method that is idempotent by key",
    },
    headers = {
      kind = "map", key = { kind = "string", min = 1, max = 256 },
      value = { kind = "string", allowed = "a string" },
      doc = "what the method finds in titan.context().headers",
    },
  },
}

--- What `with` may be given, and what of it is for pools alone.
proxy.with_schema = with_schema
proxy.pools_only = { "key", "priority" }

-- A function that only raises: so that `pcall(worker.nonsense, worker)` catches it.
---@param err titan.Error
---@return function
function proxy.refusal(err)
  return function()
    error(err, 0)
  end
end

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
      errors.raise("invalid_config", "a proxy cannot be written to: its methods are the worker's")
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
      return tasks.go(method, of, ...)
    end, rawget(of, name) ~= nil
  end, function()
    return backend.text() .. ".async"
  end))
end

-- Where a proxy keeps its titan.CallOptions: a key that nobody else has.
local HOW <const> = {}

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
        return proxy.with(backend, options, timeout, how)
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

---@param backend titan.Backend
---@param timeout integer
---@return table
local function metatable_of(backend, timeout)
  local known = metatables[backend] or {}
  metatables[backend] = known
  known[timeout] = known[timeout] or new_metatable(backend, timeout)
  return known[timeout]
end

---@param backend titan.Backend
---@param timeout integer
---@param how titan.CallOptions
---@return table
local function with_options(backend, timeout, how)
  return setmetatable({ [HOW] = how }, metatable_of(backend, timeout))
end

---@param backend titan.Backend
---@param name string
---@return boolean? whether a proxy has something else there than a method
local function is_taken(backend, name)
  return name == "async" or name == "with" or backend.own[name] ~= nil
    or backend.live and backend.live[name] ~= nil or backend.pooled and name == "__method"
end

-- Of proxies that are made for one call each: what they have is their key, and their methods are
-- one for all. For whatever else is asked of one it becomes as the others are.
---@param backend titan.Backend
---@param timeout integer
---@param how titan.CallOptions
---@return table
local function new_metatable_of_many(backend, timeout, how)
  local methods = {}
  local as_many = { priority = how.priority, key = how.key, of_many = true }
  local plain = metatable_of(backend, timeout)
  local metatable = { __tostring = plain.__tostring, __newindex = plain.__newindex }
  metatable.__name = plain.__name
  function metatable.__index(owner, name)
    local method = methods[name]
    if method then
      return method
    elseif type(name) ~= "string" then
      return nil
    elseif is_taken(backend, name) then
      if not rawget(owner, HOW) then
        local header = { idempotency_key = owner[1] }
        rawset(owner, HOW, { priority = how.priority, key = how.key, pairs = header })
      end
      return plain.__index(owner, name)
    end
    local made, keep = backend.method(metatable, name, timeout, as_many)
    methods[name] = keep ~= false and made or nil
    return made
  end
  return metatable
end

-- By the titan.CallOptions that hold beside the key.
local metatables_of_many = setmetatable({}, { __mode = "k" })

---@param backend titan.Backend
---@param key string
---@param timeout integer
---@param how titan.CallOptions without pairs
---@return table
local function with_key(backend, key, timeout, how)
  local metatable = metatables_of_many[how]
  if not metatable then
    metatable = new_metatable_of_many(backend, timeout, how)
    metatables_of_many[how] = metatable
  end
  return setmetatable({ key }, metatable)
end

-- Proxies by their options: `with` in a loop makes only one, but for each key, of which there may
-- be any number.
local made = setmetatable({}, { __mode = "k" })

-- The trace of a call is not for its method to read, but for its annotation.
local traces <const> = { "traceparent", "tracestate" }

---@param checked table what `with` was given
---@param below? table what holds where it says nothing
---@return table? pairs of the call's header
local function header_pairs(checked, below)
  if not checked.headers and not checked.idempotency_key then
    return below
  end
  local made_of = {}
  for name, value in pairs(below or {}) do
    made_of[name] = value
  end
  made_of.idempotency_key = checked.idempotency_key or made_of.idempotency_key
  if checked.headers then
    local headers = checked.headers
    for _, name in ipairs(traces) do
      made_of[name], headers[name] = headers[name], nil
    end
    made_of.headers = next(headers) and headers or nil
  end
  return next(made_of) and made_of or nil
end

---@param backend titan.Backend
---@param checked table
local function check_pooled(backend, checked)
  for _, name in ipairs(proxy.pools_only) do
    if checked[name] ~= nil and not backend.pooled then
      schema.refuse("with." .. name, POOLS_ONLY, checked[name], "nothing")
    end
  end
end

-- Options that hold nothing but a key come with every call of some programs.
---@param options any
---@return boolean
local function is_key_alone(options)
  if type(options) ~= "table" or getmetatable(options) then
    return false
  end
  local name, key = next(options)
  return name == "idempotency_key" and type(key) == "string" and #key >= 1 and #key <= KEY_MAX
    and next(options, name) == nil
end

--- The proxy that `with` returns.
---@param backend titan.Backend
---@param options { timeout: number|string|false|nil, priority: integer?, key: string|number|nil,
--- idempotency_key: string?, headers: table<string, string>? }
---@param timeout integer what holds when the options do not say
---@param how titan.CallOptions likewise
---@return table
function proxy.with(backend, options, timeout, how)
  local is_alone = is_key_alone(options)
  if is_alone and backend.has_many and not how.pairs then
    return with_key(backend, options.idempotency_key, timeout, how)
  end
  local checked = is_alone and options or schema.check(with_schema, options, "with")
  check_pooled(backend, checked)
  if checked.timeout ~= nil then
    timeout = checked.timeout or 0
  end
  local priority = checked.priority or how.priority or 0
  local key = checked.key
  if key == nil then
    key = how.key
  end
  local header = header_pairs(checked, how.pairs)
  if key ~= nil or header then
    return with_options(backend, timeout, {
      priority = priority, key = key, pairs = header,
    })
  end
  local known = made[backend] or {}
  made[backend] = known
  local id = priority == 0 and timeout or timeout .. "/" .. priority
  known[id] = known[id] or with_options(backend, timeout, { priority = priority })
  return known[id]
end

---@param backend titan.Backend
---@return table
function proxy.new(backend)
  return with_options(backend, backend.timeout, {})
end

--- What a pool has as `invoke`: calls a method, whatever its name.
---@param owner table the pool's proxy
---@param method string
---@param args? table its arguments, with `n` if there are nils among them
---@return any ...
function proxy.invoke(owner, method, args)
  if type(method) ~= "string" then
    schema.refuse("invoke.method", "expected the name of a method, given " .. text.given(method),
      method, "a string")
  end
  args = schema.check({ kind = "any", type = "table", default = {} }, args, "invoke.args")
  return owner.__method(method)(owner, table.unpack(args, 1, args.n or #args))
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
---@param gate titan.Gate
---@return titan.Backend
function proxy.of_process(process, info, own, timeout, gate)
  return {
    name = info.name, own = own, has_many = true, timeout = timeout,
    text = function()
      return string.format("titan service %s (%s)", info.name, (core.process_state(process)))
    end,
    method = function(owner, name, deadline, how)
      local id = info.methods[name]
      if not id then
        return proxy.refusal(proxy.no_such_method(info, name)), false
      end
      return idempotency.method(gate, owner, name, deadline, how, function(header)
        return core.process_method(process, owner, name, info.name, deadline, id, header)
      end)
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
    method = function(owner, method, deadline, how)
      return core.service_method(nil, owner, method, name, deadline,
        how.pairs and core.call_header(how.pairs))
    end,
  }
end

return proxy
