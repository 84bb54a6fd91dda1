--- Titan: workers written in Lua, as processes, called as if they were local.
---
--- `require "titan"` gives this table, in the manager's program and inside workers alike.

local class = require "titan.class"
local core = require "titan.core"
local errors = require "titan.errors"
local manager = require "titan.manager"
local run = require "titan.run"
local span = require "titan.tracing.span"
local supervisors = require "titan.config.supervisor"
local tasks = require "titan.tasks"
local worker = require "titan.worker"

---@class titan
local titan = {
  version = core.version,
  process = class.process,
  manager = manager.new,
  run = run.run,
  go = tasks.go,
  sleep = tasks.sleep,
  all = tasks.all,
  race = tasks.race,
  timeout = tasks.timeout,
  context = tasks.context,
  digest = core.digest,
  service = worker.service,
  span = span.run,
  is_error = errors.is,
  workflow = class.not_built "workflow",
  actor = class.not_built "actor",
  supervisor = supervisors.declare,
  buffer = core.buffer,
}

-- Loaded when they are asked for: no worker needs them.
---@type table<string, fun(): any>
local later = {
  for_root = function()
    return require("titan.root").for_root
  end,
  for_root_async = function()
    return require("titan.root").for_root_async
  end,
  tokens = function()
    return require "titan.tokens"
  end,
  testing = function()
    return require "titan.testing"
  end,
}

return setmetatable(titan, {
  later = later,
  __index = function(self, key)
    local load = later[key]
    if load then
      self[key] = load()
    end
    return rawget(self, key)
  end,
})
