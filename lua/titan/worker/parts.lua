--- What a start runs: modules that nobody needs after it.

---@type string[]
return { "titan.class.loading", "titan.class.plain", "titan.class.source", "titan.worker.starting" }
