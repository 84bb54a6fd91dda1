--- A worker that notes when its code begins and ends, and runs without a wait until a file is
--- there.

local titan = require "titan"

local noted = {}

local function note(text)
  noted[#noted + 1] = text
end

local function run_until(path)
  while true do
    local file = io.open(path)
    if file then
      return file:close()
    end
  end
end

return titan.process {
  name = "preempted", all_methods_public = true,
  methods = {
    last = function(_, path, name)
      note("begin " .. name)
      run_until(path)
      note("end " .. name)
    end,

    in_a_coroutine = function(_, path, name)
      local made = coroutine.wrap(function()
        note("begin " .. name)
        coroutine.yield()
        run_until(path)
        note("end " .. name)
        return name
      end)
      made()
      return made()
    end,

    in_a_task = function(_, path, name)
      local future = titan.go(function()
        note("begin " .. name)
        run_until(path)
        note("end " .. name)
        return name
      end)
      note("after " .. name)
      return future:await()
    end,

    awake = function(_, ms, name)
      titan.sleep(ms)
      note(name)
    end,

    short = function(_, name)
      note(name)
    end,

    noted = function()
      return noted
    end,

    create = function(_, path)
      assert(io.open(path, "w")):close()
    end,
  },
}
