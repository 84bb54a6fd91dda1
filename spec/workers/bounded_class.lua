-- Its class says what it may use.

local titan = require "titan"

return titan.process {
  all_methods_public = true,
  memory = "48MB",
  resources = { max_cpu = 0.5, timeout = 1234, rlimits = { core = 0, nofile = 99 } },
  methods = {
    nofile = function()
      for line in io.lines "/proc/self/limits" do
        local soft, hard = line:match "^Max open files%s+(%d+)%s+(%d+)"
        if soft then
          return tonumber(soft), tonumber(hard)
        end
      end
    end,
  },
}
