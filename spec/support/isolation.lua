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
  "spec/annotations_spec.lua",
  "spec/buffer_spec.lua",
  "spec/bulkhead_spec.lua",
  "spec/cache_spec.lua",
  "spec/call_errors_spec.lua",
  "spec/call_spec.lua",
  "spec/circuit_breaker_spec.lua",
  "spec/context_spec.lua",
  "spec/dependencies_spec.lua",
  "spec/errors_spec.lua",
  "spec/events_spec.lua",
  "spec/fallback_spec.lua",
  "spec/futures_spec.lua",
  "spec/health_spec.lua",
  "spec/idempotent_spec.lua",
  "spec/info_spec.lua",
  "spec/interrupt_spec.lua",
  "spec/ledger_spec.lua",
  "spec/libraries_spec.lua",
  "spec/lifecycle_spec.lua",
  "spec/metric_spec.lua",
  "spec/metrics_spec.lua",
  "spec/pool_faults_spec.lua",
  "spec/pool_spec.lua",
  "spec/proxy_spec.lua",
  "spec/rate_limit_spec.lua",
  "spec/restart_changes_spec.lua",
  "spec/restart_policy_spec.lua",
  "spec/restart_spec.lua",
  "spec/retry_spec.lua",
  "spec/service_spec.lua",
  "spec/spawn_spec.lua",
  "spec/store_spec.lua",
  "spec/stream_annotations_spec.lua",
  "spec/stream_faults_spec.lua",
  "spec/stream_spec.lua",
  "spec/supervisor_children_spec.lua",
  "spec/supervisor_decisions_spec.lua",
  "spec/supervisor_declarations_spec.lua",
  "spec/supervisor_faults_spec.lua",
  "spec/supervisor_nesting_spec.lua",
  "spec/supervisor_spec.lua",
  "spec/supervisor_strategies_spec.lua",
  "spec/tasks_spec.lua",
  "spec/timeout_spec.lua",
  "spec/trace_spec.lua",
  "spec/validate_spec.lua",
  "spec/values_spec.lua",
  "spec/waiting_spec.lua",
}

--- The other specs, and why they run once.
isolation.elsewhere = {
  ["spec/class_spec.lua"] = "looks at declarations alone",
  ["spec/cli_spec.lua"] = "is about the program",
  ["spec/config_spec.lua"] = "looks at configs alone",
  ["spec/digest_spec.lua"] = "starts no workers",
  ["spec/direct_spec.lua"] = "says itself what its workers live in",
  ["spec/examples_spec.lua"] = "runs programs",
  ["spec/exhaustion_spec.lua"] = "runs programs",
  ["spec/faults_spec.lua"] = "signals processes",
  ["spec/for_root_spec.lua"] = "looks at configs",
  ["spec/garbage_spec.lua"] = "writes to the sockets of processes",
  ["spec/idempotent_faults_spec.lua"] = "signals processes",
  ["spec/isolation_spec.lua"] = "says itself what its workers live in",
  ["spec/limits_spec.lua"] = "says itself what its workers live in",
  ["spec/logs_spec.lua"] = "reads the pipes of processes; isolation_spec has the output of threads",
  ["spec/mock_calls_spec.lua"] = "has mocks for workers",
  ["spec/mock_spawner_spec.lua"] = "has mocks for workers",
  ["spec/names_spec.lua"] = "names are the manager's",
  ["spec/native_threads_spec.lua"] = "says itself what its workers live in",
  ["spec/otlp_spec.lua"] = "starts no workers",
  ["spec/plain_class_spec.lua"] = "looks at declarations alone",
  ["spec/pool_health_spec.lua"] = "stops processes by signals",
  ["spec/pool_storm_spec.lua"] = "kills processes by signals",
  ["spec/run_spec.lua"] = "is about the program",
  ["spec/sandbox_spec.lua"] = "a sandbox is for processes; it checks that threads refuse one",
  ["spec/schema_spec.lua"] = "starts no workers",
  ["spec/signals_spec.lua"] = "is about the program",
  ["spec/spare_spec.lua"] = "is about processes that are forked ahead",
  ["spec/spin_spec.lua"] = "says itself what its workers live in",
  ["spec/stock_spec.lua"] = "says itself what its workers live in",
  ["spec/store_file_spec.lua"] = "starts no workers but to kill them",
  ["spec/suite_spec.lua"] = "is about this file",
  ["spec/supervisor_program_spec.lua"] = "is about the program",
  ["spec/surroundings_spec.lua"] =
    "is about environments and directories, which isolation_spec has refused for threads",
  ["spec/traceparent_spec.lua"] = "starts no workers",
  ["spec/types_spec.lua"] = "looks at annotations alone",
  ["spec/units_spec.lua"] = "starts no workers",
  ["spec/virtual_clock_spec.lua"] = "has mocks for workers",
  ["spec/zygote_spec.lua"] = "is about the zygote",
}

--- By file, then by what the full name of a test begins with: why it is for processes alone.
isolation.exceptions = {
  ["spec/buffer_spec.lua"] = {
    ["a buffer that is sent costs no descriptors"] = "counts the descriptors of a process",
    ["a buffer that is sent fails that call alone when its receiver has no descriptors"] =
      "leaves the program without descriptors",
    ["a buffer that is sent is mapped once"] = "counts the mappings of a process",
    ["a buffer that is sent is there for who holds it"] = "counts the descriptors of a process",
    ["a buffer that is sent is freed when its receiver is killed before"] = "stops a pid",
    ["a large string finds room again and again"] = "counts the arenas of a process",
  },
  ["spec/ledger_spec.lua"] = {
    ["a claim that a worker has made in a ledger goes to who waits in the manager"] = "kills a pid",
    ["a claim that a worker has made in a ledger ends with the worker"] = "kills a pid",
  },
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
  ["spec/cache_spec.lua"] = {
    ["a method cached in the manager is run by the next when the worker that ran it is killed"] =
      "kills a pid",
  },
  ["spec/health_spec.lua"] = {
    ["a worker that hangs is killed and started again"] = "looks at the pid",
    ["a worker that hangs is found when it is stopped"] = "a thread takes no signals",
    ["a worker that hangs is started again when it is stopped"] =
      "stops its own process by a signal",
  },
  ["spec/idempotent_spec.lua"] = {
    ["a method that is idempotent by key has the key that the caller gives"] =
      "tells workers apart by their pids",
  },
  ["spec/metrics_spec.lua"] = {
    ["pm:get_metrics knows what the process uses"] = "the memory is that of a process",
    ["pm:get_metrics does not wait for a worker that is busy"] =
      "the CPU time is that of a process",
    ["pm:get_metrics reads a worker that is stopped"] = "a thread takes no signals",
    ["pm:get_metrics tells of a process that has not begun"] = "the CPU time is that of a process",
    ["pm:get_metrics without a key tells of all that live"] = "the memory is that of a process",
    ["monitoring.metrics = false does without latencies"] = "the CPU time is that of a process",
  },
  ["spec/pool_spec.lua"] = {
    ["a pool that replaces its workers reloads them one after the other"] =
      "tells states apart by addresses, which are used again",
    ["the end of a pool destroy ends a thousand waiting calls"] = "looks at the pid",
    ["a pool that replaces its workers replaces those that are too large"] =
      "the memory is that of a process",
    ["a pool's size is what scale says"] =
      "open: the worker that was called is not always among those that leave",
  },
  ["spec/pool_faults_spec.lua"] = {
    ["a pool whose workers die makes nobody pay"] =
      "open: counts more retries where a worker exits than where it is killed",
    ["a pool whose workers die keeps calls waiting"] = "stops a pid",
    ["a pool whose workers die has failed when"] = "a thread cannot kill itself by a signal",
  },
  ["spec/restart_spec.lua"] = {
    ["a worker that crashes comes back under"] = "looks at the pid",
    ["a worker that crashes is told of"] = "looks at the pid",
    ["a worker that crashes can be called again by"] = "looks at the pid",
    ["a worker that crashes says while it is down"] = "looks at the pid",
  },
  ["spec/restart_changes_spec.lua"] = {
    ["a name that a class gives itself is kept"] = "its class is given an environment",
    ["after a restart a worker has its options, its environment"] =
      "a directory and an environment are of a process",
    ["after a restart the worker's children of the last life"] = "a thread has no group",
  },
  ["spec/service_spec.lua"] = {
    ["titan.service knows services by"] = "its class is given an environment",
    ["inside a worker a process that was started there"] = "a thread has no group",
  },
  ["spec/stream_spec.lua"] = {
    ["a slow reader costs the worker nothing but"] = "the memory is that of a process",
  },
  ["spec/spawn_spec.lua"] = {
    ["a module that cannot be loaded leaves nothing behind"] = "looks at the pid",
    ["startup_timeout ends a"] = "looks at the pid",
    ["startup_timeout may be the class's"] = "looks at the pid",
    ["a spawn that is given up ends its process"] = "looks at the pid",
    ["titan.manager finds the mistakes in its config"] = "its config is changed by this file",
    ["a module that cannot be loaded ends its process"] = "kills its own process by a signal",
  },
  ["spec/stream_faults_spec.lua"] = {
    ["a worker that streams what it should not"] = "writes to the sockets of a process",
    ["a worker that dies while it streams is not asked again by its pool"] = "kills a pid",
  },
  ["spec/supervisor_spec.lua"] = {
    ["a stop kills the children of a child, too"] = "a thread has no group",
  },
  ["spec/supervisor_children_spec.lua"] = {
    ["restart_child gives a child another life"] = "looks at the pid",
    ["simple_one_for_one starts as many"] = "a child is given an environment",
  },
  ["spec/supervisor_decisions_spec.lua"] = {
    ["on_child_crash is asked once for each"] = "looks at the pid",
  },
  ["spec/supervisor_declarations_spec.lua"] = {
    ["a supervisor's declaration may live in a module"] = "a child is given an environment",
    ["the options of a child are those of its process"] = "a child is given an environment",
  },
  ["spec/supervisor_faults_spec.lua"] = {
    ["a child that dies while it starts by kill"] = "a thread cannot kill itself by a signal",
    ["a child that dies while it starts after more words"] =
      "a thread cannot kill itself by a signal",
    ["a child that is stopped by SIGSTOP"] = "a thread takes no signals",
    ["a child that waits for the zygote"] = "a thread needs none",
    ["a manager that is closed"] = "looks at the pid",
    ["random kills"] = "looks at the pid",
  },
  ["spec/supervisor_strategies_spec.lua"] = {
    ["a crash under one_for_one restarts"] = "looks at the pid",
  },
  ["spec/trace_spec.lua"] = {
    ["a traced call is a span of the kind SERVER"] = "looks at the pid",
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
