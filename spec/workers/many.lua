--- More methods than the status page has room for, and two whose names are the same but for
--- their ends.

local titan = require "titan"

local function nothing() end

local methods = { [("a"):rep(40) .. "1"] = nothing, [("a"):rep(40) .. "2"] = nothing }
for i = 1, 70 do
  methods[string.format("m%02d", i)] = nothing
end

return titan.process { all_methods_public = true, methods = methods }
