--- The options of a call: what `with` takes, and a pool's `invoke`.

local many = require "titan.proxy.many"
local proxy = require "titan.proxy"
local schema = require "titan.schema"
local shared = require "titan.config.shared"
local text = require "titan.text"

local options = {}

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
options.with_schema = with_schema
options.pools_only = { "key", "priority" }

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
  for _, name in ipairs(options.pools_only) do
    if checked[name] ~= nil and not backend.pooled then
      schema.refuse("with." .. name, POOLS_ONLY, checked[name], "nothing")
    end
  end
end

-- Options that hold nothing but a key come with every call of some programs.
---@param given any
---@return boolean
local function is_key_alone(given)
  if type(given) ~= "table" or getmetatable(given) then
    return false
  end
  local name, key = next(given)
  return name == "idempotency_key" and type(key) == "string" and #key >= 1 and #key <= KEY_MAX
    and next(given, name) == nil
end

--- The proxy that `with` returns.
---@param backend titan.Backend
---@param given { timeout: number|string|false|nil, priority: integer?, key: string|number|nil,
--- idempotency_key: string?, headers: table<string, string>? }
---@param timeout integer what holds when the options do not say
---@param how titan.CallOptions likewise
---@return table
function options.with(backend, given, timeout, how)
  local is_alone = is_key_alone(given)
  if is_alone and backend.has_many and not how.pairs then
    return many.with_key(backend, given.idempotency_key, timeout, how)
  end
  local checked = is_alone and given or schema.check(with_schema, given, "with")
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
    return proxy.with_options(backend, timeout, {
      priority = priority, key = key, pairs = header,
    })
  end
  local known = made[backend] or {}
  made[backend] = known
  local id = priority == 0 and timeout or timeout .. "/" .. priority
  known[id] = known[id] or proxy.with_options(backend, timeout, { priority = priority })
  return known[id]
end

--- What a pool has as `invoke`: calls a method, whatever its name.
---@param owner table the pool's proxy
---@param method string
---@param args? table its arguments, with `n` if there are nils among them
---@return any ...
function options.invoke(owner, method, args)
  if type(method) ~= "string" then
    schema.refuse("invoke.method", "expected the name of a method, given " .. text.given(method),
      method, "a string")
  end
  args = schema.check({ kind = "any", type = "table", default = {} }, args, "invoke.args")
  return owner.__method(method)(owner, table.unpack(args, 1, args.n or #args))
end

return options
