--- Where the fields of the titan table are, as core.later takes it.

---@type table<string, string>
return {
  version = "titan.core:version",
  process = "titan.class:process",
  manager = "titan.manager:new",
  run = "titan.run:run",
  go = "titan.tasks:go",
  sleep = "titan.pause:sleep",
  all = "titan.tasks:all",
  race = "titan.tasks:race",
  timeout = "titan.tasks:timeout",
  context = "titan.tasks:context",
  digest = "titan.core:digest",
  service = "titan.worker:service",
  span = "titan.tracing.span:run",
  is_error = "titan.errors:is",
  workflow = "titan.not_built:workflow",
  actor = "titan.not_built:actor",
  buffer = "titan.core:buffer",
  supervisor = "titan.config.supervisor:declare",
  for_root = "titan.root:for_root",
  for_root_async = "titan.root:for_root_async",
  tokens = "titan.tokens",
  testing = "titan.testing",
}
