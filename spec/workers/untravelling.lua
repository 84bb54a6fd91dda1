--- Answers with what cannot travel.

local titan = require "titan"

local function nested(depth)
  local inner = {}
  for _ = 2, depth do
    inner = { inner }
  end
  return inner
end

local values = {
  ["function"] = function()
    return print
  end,
  userdata = function()
    return io.stdout
  end,
  coroutine = function()
    return coroutine.create(print)
  end,
  cycle = function()
    local cycle = { list = {} }
    cycle.list[2] = cycle
    cycle.list[1] = 1
    return cycle
  end,
  key = function()
    return { rows = { [{}] = 1 } }
  end,
}

return titan.process {
  all_methods_public = true,
  methods = {
    value = function(_, kind)
      return values[kind]()
    end,
    second = function(_, kind)
      return 1, { list = { 1, { deep = values[kind]() } } }
    end,
    nested = function(_, depth)
      return nested(depth)
    end,
    alive = function()
      return true
    end,
  },
}
