--- Runs what a test says, and tells whether it worked: a code that gives something true, or nil
--- and why not, or raises.

local titan = require "titan"

local loaded_env = os.getenv "TITAN_SPEC_SECRET"

return titan.process {
  all_methods_public = true,
  methods = {
    try = function(_, code, ...)
      local chunk = assert(load(code, "=try"))
      local ok, result, why = pcall(chunk, ...)
      if not ok then
        return false, type(result) == "table" and result.message or tostring(result)
      elseif not result then
        return false, tostring(why)
      end
      return true, tostring(result)
    end,
    env_when_loaded = function()
      return loaded_env
    end,
    crowd = function(_, count)
      local luv, done = require "luv", 0
      for _ = 1, count do
        luv.fs_stat("/", function()
          done = done + 1
        end)
      end
      while done < count do
        titan.sleep(1)
      end
      return done
    end,
    say = function(_, words)
      print(words)
    end,
    leave = { on_shutdown = true, function()
      print "leaving"
    end },
  },
}
