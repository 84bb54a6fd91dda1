--- Run on a thread before it is known what is to start: what a start runs is at hand then, until it
-- has run.

local core = require "titan.core"
local parts = core.use "titan.worker.parts"

for _, name in ipairs(parts) do
  package.loaded[name] = core.use(name)
end
