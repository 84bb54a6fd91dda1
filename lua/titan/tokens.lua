--- What a module made by titan.for_root can be asked for: each a value of its own, equal to nothing
--- else.

local errors = require "titan.errors"
local problems = require "titan.schema.problem"
local sorted = require "titan.sorted"
local text = require "titan.text"

---@class titan.Token

local DOCS <const> = {
  CONFIG = "the complete config",
  MANAGER = "the manager",
  REGISTRY = "what knows the processes: discover, get_process_info, get_all_processes",
  SPAWNER = "what spawns: spawn, create_pool",
  METRICS = "what they have done and what they use: get_metrics",
  HEALTH = "how they are: health",
}

local names = sorted.keys(DOCS)

---@class titan.Tokens
---@field CONFIG titan.Token
---@field MANAGER titan.Token
---@field REGISTRY titan.Token
---@field SPAWNER titan.Token
---@field METRICS titan.Token
---@field HEALTH titan.Token
local tokens = {}

for _, name in ipairs(names) do
  tokens[name] = setmetatable({}, {
    __name = "titan.Token",
    __tostring = function()
      return "titan.tokens." .. name
    end,
    __newindex = function()
      errors.raise("invalid_config", "a token cannot be written to")
    end,
  })
end

return setmetatable(tokens, {
  __index = function(_, key)
    local hint = type(key) == "string" and problems.suggestion(key, names)
      or "there are " .. text.enumerated(names, "and")
    errors.raise("invalid_config", string.format("titan.tokens: no token is called %s; %s",
      text.literal(key), hint))
  end,
})
