--- Class declarations: what `titan.process { ... }` accepts and returns.
--
-- A declaration is checked as a whole where it is written, so that a misspelt
-- annotation is found when the module is loaded and not when the method is called.
-- A plain one is recognised by titan.class.plain; of any other, and so of every mistake,
-- titan.class.declared has the word.

local core = require "titan.core"

local class = {}

---@class titan.Class
---@field kind "process"
---@field name? string
---@field version? string
---@field description? string
---@field source? string absolute path of the file that declares the class
---@field init? fun(self: table, options: table)
---@field methods table<string, titan.Method>
---@field method_names string[] sorted
---@field dependencies titan.Dependency[] sorted by alias
---@field env table<string, string|false>
---@field cwd? string
---@field isolation? titan.Isolation
---@field startup_timeout? integer ms
---@field restart_policy? table what it says, over what the config says
---@field health? table what it says, over what the config says
---@field security? table what it says, over what the config says
---@field resources? table what it says, over what the config says

local metatable = { __name = "titan.Class" }

---@param self titan.Class
---@return string such as "titan.process image-worker 1.0.0"
function metatable.__tostring(self)
  local words = { "titan." .. self.kind, self.name or "(unnamed)", self.version }
  return table.concat(words, " ")
end

--- Whether `value` is what `titan.process` returned.
---@param value any
---@return boolean
function class.is(value)
  return type(value) == "table" and getmetatable(value) == metatable
end

--- Declares a process class.
--
-- Raises `invalid_config`; the path begins with the name of the class where that is
-- known, as in `image-worker.methods.resize.pubic`.
---@param declaration table
---@param level? integer whose file the class belongs to: 1, the default, is the caller
---@return titan.Class
function class.process(declaration, level)
  local made = core.use("titan.class.plain").check(declaration)
    or require("titan.class.declared").check(declaration)
  core.briefly(true)
  made.source = core.use("titan.class.source").find(level or 1, made)
  core.briefly(false)
  return setmetatable(made, metatable)
end

return setmetatable(class, { __index = core.later {
  schema = "titan.class.declared:schema", not_built = "titan.not_built:of",
} })
