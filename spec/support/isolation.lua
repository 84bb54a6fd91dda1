--- The specs over another isolation. With TITAN_TEST_ISOLATION=worker, and this file as busted's
--- helper, every manager that a spec makes starts its workers on threads, unless the spec itself
--- says what isolation it wants. `scripts/test` does that with all of `files`; with names,
--- `scripts/test asan worker:spec/call_spec.lua` does.
--
-- What cannot be the same there is in `exceptions`, each with its reason. Programs that a spec
-- starts have managers of their own, of which this file knows nothing.

local isolation = {}

--- What is built besides processes.
isolation.kinds = { "worker", "thread" }

--- The specs whose outcome could depend on what a worker lives in.
isolation.files = {
  "spec/call_errors_spec.lua",
  "spec/call_spec.lua",
  "spec/context_spec.lua",
  "spec/dependencies_spec.lua",
  "spec/errors_spec.lua",
  "spec/events_spec.lua",
  "spec/futures_spec.lua",
  "spec/info_spec.lua",
  "spec/lifecycle_spec.lua",
  "spec/metric_spec.lua",
  "spec/proxy_spec.lua",
  "spec/restart_policy_spec.lua",
  "spec/spawn_spec.lua",
  "spec/stream_annotations_spec.lua",
  "spec/values_spec.lua",
}

--- By file, then by what the full name of a test begins with: why it is for processes alone.
isolation.exceptions = {
  ["spec/events_spec.lua"] = {
    ["process:spawn tells of a process that begins to start"] = "looks at the pid",
    ["process:ready tells of a process that can be called"] = "its class is given an environment",
    ["process:ready is not for one that could not start"] = "looks at the pid",
    ["process:crash tells of a signal"] = "a thread takes no signals",
    ["process:crash tells why, and what the process was doing"] = "kills a worker that is busy",
  },
  ["spec/info_spec.lua"] = {
    ["pm:get_process_info tells of a process that runs"] = "its class is given an environment",
  },
  ["spec/lifecycle_spec.lua"] = {
    ["a worker that is stopped runs its hooks and finishes its calls"] = "looks at the pid",
    ["a worker leads a process group"] = "a thread has no group",
    ["a worker with children of its own takes them along"] = "a thread has no group",
    ["a worker among others that has to be killed is named"] = "counts children",
    ["a worker is sent signals by name and by number"] = "a thread takes no signals",
  },
}

-- Under busted ---------------------------------------------------------------------------

---@param kind string
local function use(kind)
  local titan = require "titan"
  local manager = titan.manager
  titan.manager = function(config, ...)
    if type(config) == "table" and config.isolation == nil then
      local changed = {}
      for key, value in pairs(config) do
        changed[key] = value
      end
      changed.isolation = kind
      config = changed
    end
    return manager(config or { isolation = kind }, ...)
  end
end

--- Makes those tests pending that are exceptions; an exception that is of no test is a failure.
---@param busted table
local function except(busted)
  local reasons, met, words = {}, {}, {}
  busted.subscribe({ "file", "start" }, function(element)
    reasons = isolation.exceptions[element.name:match "spec/[%w_]+%.lua$"] or {}
    return nil, true
  end)
  busted.subscribe({ "describe", "start" }, function(element)
    words[#words + 1] = element.name
    return nil, true
  end)
  busted.subscribe({ "describe", "end" }, function()
    words[#words] = nil
    return nil, true
  end)
  busted.subscribe({ "register", "it" }, function(name, ...)
    local full = table.concat(words, " ") .. (#words > 0 and " " or "") .. name
    for prefix in pairs(reasons) do
      if full:sub(1, #prefix) == prefix then
        met[prefix] = true
        busted.publish({ "register", "pending" }, name, ...)
        return nil, false
      end
    end
    return nil, true
  end, { priority = 1 })
  busted.subscribe({ "file", "end" }, function(element)
    for prefix in pairs(reasons) do
      if not met[prefix] then
        busted.publish({ "error", "file" }, element, nil,
          string.format("spec/support/isolation.lua: no test begins with %q", prefix))
      end
    end
    return nil, true
  end)
end

local kind = os.getenv "TITAN_TEST_ISOLATION"
if kind and kind ~= "process" then
  use(kind)
  except(require "busted")
end

return isolation
