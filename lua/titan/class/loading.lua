--- Loads the file of a class.

local class = require "titan.class"

local loading = {}

--- Runs the file. Raises what it raises.
---@param file string
---@param name string what the chunk gets as its first argument, as from require
---@param env? table what its globals are, and then it has to be text; Lua's own unless told
---@return any what the file returns
function loading.run(file, name, env)
  local chunk, why
  if env then
    chunk, why = loadfile(file, "t", env)
  else
    chunk, why = loadfile(file)
  end
  if not chunk then
    error(why, 0)
  end
  return chunk(name, file)
end

--- Raises `spawn_failed` when what the file has returned is no class.
---@param loaded any
---@param file string
---@return titan.Class
function loading.check(loaded, file)
  if not class.is(loaded) then
    require("titan.errors").raise("spawn_failed", string.format("%s returned %s; a worker's "
      .. "module returns what titan.process { ... } returns", file,
      require("titan.text").given(loaded)))
  end
  return loaded
end

return loading
