--- How a manager makes supervisors. These are methods of titan.Manager.

local declarations = require "titan.config.supervisor"
local errors = require "titan.errors"
local locate = require "titan.locate"
local run = require "titan.run"
local schema = require "titan.schema"
local shared = require "titan.config.shared"
local supervisor = require "titan.supervisor"
local tasks = require "titan.tasks"

---@class titan.Manager
local Manager = {}

---@type titan.Schema
local options_schema = {
  kind = "table",
  fields = { name = shared.name_schema "what the supervisor is called" },
}

-- A declaration may live in a module of its own, as classes do.
---@param given any
---@return any
local function load(given)
  if type(given) ~= "string" then
    return given
  end
  local ok, loaded = pcall(function()
    local target = locate.find(given)
    if target.module then
      return (require(target.module))
    end
    return assert(loadfile(target.file))(target.file)
  end)
  if not ok and errors.is(loaded) and loaded.code == "invalid_config" then
    error(loaded, 0)
  elseif not ok then
    errors.raise("invalid_config", string.format("supervisor: cannot load %q: %s", given,
      errors.is(loaded) and loaded.message or tasks.text_of(loaded)))
  end
  return loaded
end

--- Makes a supervisor, stopped: `:start()` starts it. Everything below it is checked first.
--- Raises `invalid_config`.
---@param given table|string what titan.supervisor returned, a table like its argument, or the
--- module that returns one of these
---@param options? { name: string? }
---@return titan.Supervisor
function Manager:create_supervisor(given, options)
  local checked = schema.check(options_schema, options, "options")
  local loaded = load(given)
  if loaded == nil then
    schema.refuse("supervisor", given and string.format("%q returns nothing", given)
      or "what it supervises is missing", nil, "what titan.supervisor returns, or a table like its "
      .. "argument")
  end
  local declaration = declarations.check(loaded, "supervisor")
  return supervisor.new(self, declaration, checked.name or declaration.name or "supervisor")
end

-- A root supervisor has given up, and nobody has asked to hear of it: the run ends with its story.
---@param err titan.Error
function Manager:_fail(err)
  run.fail(err)
end

-- Waits until no supervisor and no pool of this manager runs.
function Manager:_await_running()
  local future = select(2, next(self.running))
  while future do
    future:await()
    future = select(2, next(self.running))
  end
end

return Manager
