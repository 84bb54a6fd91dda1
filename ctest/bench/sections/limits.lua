--- What limits and a sandbox add to a spawn.

local calling = require "calling"
local measuring = require "measuring"

-- The options of the spawn, by what is measured.
local OPTIONS <const> = {
  plain = {},
  memory = { resources = { max_memory = "64MB" } },
  sandbox = {
    security = { permissions = { network = false, filesystem = "read-only" } },
  },
}
local NAMES <const> = { "plain", "memory", "sandbox" }
local WARM_UP <const> = 10

return {
  run = function(pm, size)
    local samples, refused = { plain = {}, memory = {}, sandbox = {} }, {}
    for i = 1 - WARM_UP, size.kills do
      for _, name in ipairs(NAMES) do -- in turn
        local ok, result = pcall(calling.spawn_once, pm, OPTIONS[name])
        if not ok then
          refused[name] = tostring(result):match "[^\n]*"
        elseif i >= 1 then
          samples[name][i] = result
        end
      end
    end
    for _, name in ipairs(NAMES) do
      if refused[name] then
        measuring.skip("limits", name, refused[name])
      else
        measuring.report_latency("limits", name, samples[name])
      end
    end
  end,
}
