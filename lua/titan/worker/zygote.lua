--- What a zygote does before it forks, and a spare worker while it waits: both so that a worker
--- finds everything done that can be done beforehand.

local class = require "titan.class"
local core = require "titan.core"
local errors = require "titan.errors"
local preloads = require "titan.worker.preloads"
local tasks = require "titan.tasks"
local titan = require "titan"
local worker = require "titan.worker"

local zygote = {}

-- What workers load when they need it: here before the fork, where all of them share it.
local modules <const> = {
  "titan.annotations.all", "titan.class.absolute", "titan.class.caught", "titan.class.composed",
  "titan.class.declared", "titan.class.foreign", "titan.class.methods", "titan.class.plain",
  "titan.class.source", "titan.errors.made", "titan.errors.shown", "titan.idempotency",
  "titan.metric.key", "titan.metric.slots", "titan.proxy", "titan.proxy.many",
  "titan.proxy.missing", "titan.proxy.options", "titan.remote_error", "titan.schema",
  "titan.store", "titan.text", "titan.tracing.outbox", "titan.tracing.span", "titan.units",
  "titan.validation", "titan.worker.ending", "titan.worker.limits", "titan.worker.services",
  "titan.worker.starting", "titan.worker.surroundings", "titan.worker.tracing",
  "titan.worker.wishes",
}

-- Fields that are found on first use: a worker would write to the shared table.
local fields <const> = {
  [class] = { "schema" },
  [errors] = { "codes", "new", "optional_fields", "raise" },
  [titan] = {
    "all", "context", "digest", "go", "is_error", "process", "race", "service", "sleep", "span",
    "timeout", "version",
  },
  [worker] = { "limber", "service", "warm_up" },
}

---@param owner table
---@param names string[]
local function find_all(owner, names)
  for _, name in ipairs(names) do
    local _ = owner[name]
  end
end

local function load_shared()
  for _, name in ipairs(modules) do
    require(name)
  end
  find_all(core, core.names())
  for owner, names in pairs(fields) do
    find_all(owner, names)
  end
end

--- Loads what every worker will share. Raises what a module raises.
---@param boot { path: string, cpath: string, preload: string[] }
function zygote.warm_up(boot)
  package.path, package.cpath = boot.path, boot.cpath
  load_shared()
  preloads.load(boot.preload)
end

-- Of no use but to have run what a start and a call run.
local function exercise()
  local chunk = assert(load("local titan = require 'titan' return titan", "=limber"))
  chunk()
  assert(loadfile "/dev/null")()
  local sample = class.process {
    methods = { method = { public = true, function(_, value) return value end } },
  }
  local self = setmetatable({}, { __index = sample.methods })
  assert(self.method.public)
  pcall(error, errors.new("cancelled", "limber"))
  tasks.sleep(0)
end

--- Called in a spare worker, which waits for its start: what it touches now need not be made its
--- own when it is in a hurry.
function zygote.limber()
  tasks.go(exercise):ignore()
end

return zygote
