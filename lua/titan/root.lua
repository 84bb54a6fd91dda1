--- Modules: what a program is made of, by tokens, so that a test can put something else in its
--- place. `titan.for_root(config)` makes one.
--
-- A value is made when it is first asked for, once, after those that it is made of:
--
--     CONFIG <- MANAGER <- SPAWNER, REGISTRY, METRICS, HEALTH
--
-- A SPAWNER that is overridden comes before MANAGER, which is made with it.

local config = require "titan.config"
local errors = require "titan.errors"
local manager = require "titan.manager"
local problems = require "titan.schema.problem"
local schema = require "titan.schema"
local tasks = require "titan.tasks"
local text = require "titan.text"
local tokens = require "titan.tokens"

local root = {}

---@class titan.Module
---@field package values table<titan.Token, any> those that are made
---@field package overrides table<titan.Token, any> a value, or a factory
---@field package making table<titan.Token, titan.Making>
---@field package inside table<thread, titan.Token> what a coroutine makes, the innermost
---@field package config fun(): titan.Config makes CONFIG
---@field package existing? titan.Module
local Module = {}
Module.__index = Module
Module.__name = "titan.Module"

---@class titan.Making
---@field done titan.Future
---@field finish fun(ok: boolean, ...)
---@field needs? titan.Token what its making waits for

-- Tokens -----------------------------------------------------------------------------------

local token_names, token_of_name = {}, {}
for name, token in pairs(tokens) do
  token_names[#token_names + 1] = name
  token_of_name[name] = token
end
table.sort(token_names)

local is_token = {}
for _, token in pairs(tokens) do
  is_token[token] = true
end

---@param token any
---@param path string
local function check_token(token, path)
  if is_token[token] then
    return
  end
  local allowed = "one of titan.tokens"
  local why = string.format("expected %s, given %s", allowed, text.given(token))
  if type(token) == "string" then
    local nearest = token_of_name[token] and token
      or problems.suggestion(token:upper(), token_names)
    nearest = nearest and nearest:match "[A-Z]+"
    why = string.format("%s is a string and no token; %s", text.literal(token), nearest
      and string.format("did you mean titan.tokens.%s?", nearest)
      or "there are titan.tokens." .. table.concat(token_names, ", titan.tokens."))
  end
  schema.refuse(path, why, token, allowed)
end

-- What makes them --------------------------------------------------------------------------

---@type table<titan.Token, fun(module: titan.Module): any>
local makers = {}

makers[tokens.CONFIG] = function(module)
  return module.config()
end

makers[tokens.MANAGER] = function(module)
  local checked = module:get(tokens.CONFIG)
  local spawner = module.overrides[tokens.SPAWNER] ~= nil and module:get(tokens.SPAWNER) or nil
  return manager.of(checked, spawner)
end

makers[tokens.SPAWNER] = function(module)
  return module:get(tokens.MANAGER).spawner
end

-- Those methods of the manager that a part of the program is to have, and no others.
---@param ... string
---@return fun(module: titan.Module): table
local function view(...)
  local names = { ... }
  return function(module)
    local pm, methods = module:get(tokens.MANAGER), {}
    for _, name in ipairs(names) do
      methods[name] = function(_, ...)
        return pm[name](pm, ...)
      end
    end
    return methods
  end
end

makers[tokens.REGISTRY] = view("discover", "get_process_info", "get_all_processes")
makers[tokens.METRICS] = view "get_metrics"
makers[tokens.HEALTH] = view "health"

-- What is made of what, unless it is overridden. A manager is made with a spawner that is
-- overridden and brings its own otherwise: either way the two belong together.
---@type table<titan.Token, titan.Token[]>
local parts <const> = {
  [tokens.CONFIG] = {},
  [tokens.MANAGER] = { tokens.CONFIG, tokens.SPAWNER },
  [tokens.SPAWNER] = { tokens.MANAGER },
  [tokens.REGISTRY] = { tokens.MANAGER },
  [tokens.METRICS] = { tokens.MANAGER },
  [tokens.HEALTH] = { tokens.MANAGER },
}

-- Whether it, or what it is made of, is overridden here: then an existing module's will not do.
---@param module titan.Module
---@param token titan.Token
---@param seen? table<titan.Token, true>
---@return boolean
local function is_own(module, token, seen)
  seen = seen or {}
  if module.overrides[token] ~= nil then
    return true
  end
  seen[token] = true
  for _, part in ipairs(parts[token]) do
    if not seen[part] and is_own(module, part, seen) then
      return true
    end
  end
  return false
end

-- Making -----------------------------------------------------------------------------------

-- An error says whose factory it is; one that can be told apart by its code still can.
---@param token titan.Token
---@param err any
---@return titan.Error
local function factory_failed(token, err)
  if errors.is(err) and err.code == "cancelled" then
    return err
  end
  local is_error = errors.is(err)
  return errors.new(is_error and err.code or "invalid_config",
    string.format("%s: its factory failed: %s", tostring(token),
      is_error and err.message or tasks.text_of(err)),
    { details = is_error and err.details or nil, traceback = is_error and err.traceback
      or tasks.take_trace(err) })
end

---@param token titan.Token
---@param made any
local function check_made(token, made)
  if made == nil then
    errors.raise("invalid_config", string.format("%s: its factory returned nil; it must return "
      .. "what the token stands for", tostring(token)))
  end
end

---@param self titan.Module
---@param token titan.Token
---@return any
local function make(self, token)
  local given = self.overrides[token]
  local made = given
  if given == nil and self.existing and not is_own(self, token) then
    return self.existing:get(token)
  elseif given == nil then
    made = makers[token](self)
    check_made(token, made)
    return made
  elseif type(given) == "function" then
    local ok
    ok, made = xpcall(given, tasks.trace, self)
    if not ok then
      error(factory_failed(token, made), 0)
    end
    check_made(token, made)
  end
  return token == tokens.CONFIG and config.check(made) or made
end

-- Waiting for one another would be for ever. `outer` is what the asking coroutine makes.
---@param self titan.Module
---@param outer titan.Token
---@param token titan.Token
local function check_cycle(self, outer, token)
  local path, at = { tostring(outer) }, token
  while at do
    path[#path + 1] = tostring(at)
    if at == outer then
      errors.raise("invalid_config", "a cycle: " .. table.concat(path, " -> "))
    end
    at = self.making[at] and self.making[at].needs
  end
end

-- Makes the value, in the coroutine that asks for it; others who ask meanwhile wait.
---@param self titan.Module
---@param token titan.Token
---@param outer titan.Token?
---@return any
local function make_once(self, token, outer)
  local co = coroutine.running()
  local making = {}
  making.done, making.finish = tasks.promise()
  making.done:ignore()
  self.making[token], self.inside[co] = making, token
  local ok, made = pcall(make, self, token)
  self.making[token], self.inside[co] = nil, outer
  if ok then
    self.values[token] = made
  end
  making.finish(ok, made)
  if not ok then
    error(made, 0)
  end
  return made
end

--- The value of a token, made on first use. May wait, when a factory does. Raises
--- `invalid_config`, or with the code of an error that a factory raised; a value that could not be
--- made is tried anew by the next who asks.
---@param token titan.Token
---@return any
function Module:get(token)
  check_token(token, "get.token")
  local made = self.values[token]
  if made ~= nil then
    return made
  end
  local outer = self.inside[coroutine.running()]
  local needing = outer and self.making[outer]
  if needing then
    check_cycle(self, outer, token)
    needing.needs = token
  end
  local _ <close> = setmetatable({}, {
    __close = function()
      if needing then
        needing.needs = nil
      end
    end,
  })
  if self.making[token] then
    return self.making[token].done:await()
  end
  return make_once(self, token, outer)
end

-- Overriding -------------------------------------------------------------------------------

---@param self titan.Module
---@param token titan.Token
---@param seen? table<titan.Token, true>
---@return titan.Token? by what it has been used, which may be itself
local function user_of(self, token, seen)
  seen = seen or {}
  if self.values[token] ~= nil or self.making[token] then
    return token
  end
  seen[token] = true
  for _, name in ipairs(token_names) do
    local whole = token_of_name[name]
    for _, part in ipairs(self.overrides[whole] == nil and parts[whole] or {}) do
      local user = part == token and not seen[whole] and user_of(self, whole, seen)
      if user then
        return user
      end
    end
  end
  return nil
end

--- Puts a value in the place of what the token stands for; a function is a factory, which gets the
--- module, may wait, and returns the value. Raises `invalid_config` once it has been used.
---@param token titan.Token
---@param given any
---@return titan.Module self
function Module:override(token, given)
  check_token(token, "override.token")
  if given == nil then
    schema.refuse("override.value", "what to put in the place of " .. tostring(token)
      .. " is missing", nil, "a value, or a function that returns it")
  end
  local user = user_of(self, token)
  if user then
    local how = user == token and "has been used already"
      or string.format("is part of %s, which has been used already", tostring(user))
    schema.refuse("override.token", string.format("%s %s; override it before that",
      tostring(token), how), token, "a token that nobody has got yet")
  end
  self.overrides[token] = given
  return self
end

-- Making modules ---------------------------------------------------------------------------

---@param make_config fun(): titan.Config
---@param existing? titan.Module
---@return titan.Module
local function new_module(make_config, existing)
  return setmetatable({
    values = {}, overrides = {}, making = {}, inside = setmetatable({}, { __mode = "k" }),
    config = make_config, existing = existing,
  }, Module)
end

---@param overrides any
---@param where string
local function check_overrides(overrides, where)
  if overrides ~= nil and type(overrides) ~= "table" then
    schema.refuse(where, "expected a table, given " .. text.given(overrides), overrides,
      "a table of token = value or factory")
  end
  for token in pairs(overrides or {}) do
    check_token(token, where)
  end
end

--- A module of this config. Nothing is started before it is asked for. Raises `invalid_config`.
---@param given? table the config; see titan.config
---@param overrides? table<titan.Token, any> as with module:override
---@return titan.Module
function root.for_root(given, overrides)
  check_overrides(overrides, "for_root.overrides")
  local checked
  if not (overrides and overrides[tokens.CONFIG] ~= nil) then
    checked = config.check(given)
  end
  local module = new_module(function()
    return checked
  end)
  for token, value in pairs(overrides or {}) do
    module:override(token, value)
  end
  return module
end

---@type titan.Schema
local async_schema <const> = {
  kind = "table",
  fields = {
    use_factory = { kind = "function", doc = "gets what inject names, returns the config" },
    inject = { kind = "list", of = { kind = "any", required = true } },
    use_existing = { kind = "any", type = "table", allowed = "a module made by titan.for_root" },
  },
}

--- What titan.for_root_async may be given.
root.async_schema = async_schema

---@param checked table
local function check_async(checked)
  if not checked.use_factory and not checked.use_existing then
    schema.refuse("for_root_async", "it says neither how the config is made nor where it is", nil,
      "use_factory, use_existing or both")
  elseif checked.inject and not checked.use_factory then
    schema.refuse("for_root_async.inject", "there is no use_factory to inject it into",
      checked.inject, "nothing without use_factory")
  end
  for i, token in ipairs(checked.inject or {}) do
    check_token(token, string.format("for_root_async.inject[%d]", i))
  end
  if checked.use_existing ~= nil and getmetatable(checked.use_existing) ~= Module then
    schema.refuse("for_root_async.use_existing", "expected a module, given "
      .. text.given(checked.use_existing), checked.use_existing, "a module made by titan.for_root")
  end
end

--- A module whose config is made when it is first needed: `use_factory` gets the values of the
--- tokens in `inject` and may wait. They come from `use_existing`, another module, if that is
--- given, else from this one.
---
--- With `use_existing` alone the module has what that one has, but for what is overridden here and
--- what is made of it. Raises `invalid_config`.
---@param options { use_factory?: fun(...): table, inject?: titan.Token[],
--- use_existing?: titan.Module }
---@return titan.Module
function root.for_root_async(options)
  local checked = schema.check(async_schema, options, "for_root_async")
  check_async(checked)
  if not checked.use_factory then
    return new_module(nil, checked.use_existing)
  end
  local module
  module = new_module(function()
    local injected, count = {}, #(checked.inject or {})
    for i = 1, count do
      injected[i] = (checked.use_existing or module):get(checked.inject[i])
    end
    local ok, made = xpcall(checked.use_factory, tasks.trace, table.unpack(injected, 1, count))
    if not ok then
      error(factory_failed(tokens.CONFIG, made), 0)
    end
    check_made(tokens.CONFIG, made)
    return config.check(made)
  end)
  return module
end

return root
