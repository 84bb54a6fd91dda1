--- What one process may use: the keys of `resources`, and the one limit that may be written in
--- short.

local layers = require "titan.config.layers"
local schema = require "titan.schema"

local resources = {}

---@class titan.Resources complete
---@field max_memory integer|false bytes
---@field max_cpu number|false processors
---@field timeout integer|false ms
---@field rlimits table<string, integer>

local MEMORY <const> = 512 * 1024 * 1024
local CPU <const> = 1.0

---@type titan.Schema
local none <const> = { kind = "enum", values = { false } }

---@type titan.Schema
local max_memory <const> = {
  kind = "one_of", of = { { kind = "size", min = "4MB" }, none }, default = MEMORY,
  doc = "of the process; three quarters of it are for the Lua heap, whose overrun is an error that "
    .. "can be caught (limit_exceeded), while a process beyond the whole is killed. Said by a "
    .. "class, a spawn, or the config other than by default: by a control group, which counts the "
    .. "children, too, where those are writable, else by RLIMIT_AS and a watch. The default alone: "
    .. "by the heap's limit and a look at each liveness sweep. False for none",
}

---@type titan.Schema
local max_cpu <const> = {
  kind = "one_of", of = { { kind = "number", min = 0.01, max = 1024 }, none }, default = CPU,
  doc = "in processors. Said by a class, a spawn, or the config other than by default: by a "
    .. "control group, else by a watch that stops the process for a while (SIGSTOP). The default "
    .. "alone: by that watch, once a liveness sweep has found the process over it. False for none",
}

---@param doc string
---@param min? integer
---@return titan.Schema
local function count(doc, min)
  return { kind = "integer", min = min or 0, max = 1 << 30, doc = doc }
end

---@param doc string
---@param min? string
---@return titan.Schema
local function size(doc, min)
  return { kind = "size", min = min, doc = doc }
end

---@type titan.Schema
local rlimits <const> = {
  kind = "table", optional = true, doc = "soft and hard limits of the process: see setrlimit(2)",
  fields = {
    nofile = count("descriptors; a worker needs some twenty itself", 24),
    nproc = count "processes and threads of its user, whoever started them",
    core = size "of a core file; 0 for none",
    fsize = size "of a file it writes; SIGXFSZ kills it at one byte more",
    stack = size("of the C stack", "64KB"),
    cpu = {
      kind = "duration", min = 1000, doc = "of CPU time in all, in whole seconds; SIGXCPU kills it",
      convert = function(ms)
        return (ms + 999) // 1000 * 1000
      end,
    },
  },
}

local DOC <const> = "what one process may use"

--- Resources that go over others: any key may be left out.
---@param timeout titan.Schema
---@return titan.Schema
function resources.partial(timeout)
  local fields = { max_memory = max_memory, max_cpu = max_cpu, timeout = timeout }
  fields = layers.partial(fields)
  fields.rlimits = rlimits
  return { kind = "table", optional = true, fields = fields, doc = DOC }
end

--- Complete resources.
---@param timeout titan.Schema with a default
---@return titan.Schema
function resources.complete(timeout)
  return {
    kind = "table", doc = DOC,
    fields = { max_memory = max_memory, max_cpu = max_cpu, timeout = timeout, rlimits = rlimits },
  }
end

--- `memory`, which is `resources.max_memory` in short.
---@type titan.Schema
resources.memory = layers.over(max_memory, { doc = "resources.max_memory in short" })
resources.memory.default = nil

--- Puts the short form where the long one would be. Raises `invalid_config` when both are there.
---@param checked table with `memory` and `resources`; the former is taken out
---@param path string of the table
function resources.settle(checked, path)
  local memory = checked.memory
  if memory == nil then
    return
  elseif checked.resources and checked.resources.max_memory ~= nil then
    schema.refuse(path == "" and "memory" or path .. ".memory",
      "it is resources.max_memory in short, which is there as well", memory, "one of the two")
  end
  checked.memory = nil
  checked.resources = layers.over(checked.resources or {}, { max_memory = memory })
end

--- Complete resources: each of the layers, which may be nil, over the ones before it; and which of
--- the limits somebody named. A config that says what is the default anyway names nothing.
---@param base titan.Resources of the manager's config
---@param ... table?
---@return titan.Resources
---@return { memory: boolean, cpu: boolean } named
function resources.merged(base, ...)
  local merged = layers.merged(base, ...)
  local named = { memory = base.max_memory ~= MEMORY, cpu = base.max_cpu ~= CPU }
  for i = 1, select("#", ...) do
    local layer = select(i, ...) or {}
    named.memory = named.memory or layer.max_memory ~= nil
    named.cpu = named.cpu or layer.max_cpu ~= nil
  end
  merged.rlimits = merged.rlimits or {}
  return merged, named
end

return resources
