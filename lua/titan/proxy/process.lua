--- Proxies for the processes of a manager.

local core = require "titan.core"
local idempotency = require "titan.idempotency"
local missing = require "titan.proxy.missing"

local process = {}

--- What a proxy needs of a process of this manager. `info` is read at each use: a restart may
--- change what it says.
---@param handle userdata
---@param info { name: string, methods: table<string, integer|false> }
---@param own table<string, function>
---@param timeout integer
---@param gate titan.Gate
---@return titan.Backend
function process.backend(handle, info, own, timeout, gate)
  return {
    name = info.name, own = own, has_many = true, timeout = timeout,
    text = function()
      return string.format("titan service %s (%s)", info.name, (core.process_state(handle)))
    end,
    method = function(owner, name, deadline, how)
      local id = info.methods[name]
      if not id then
        return missing.refusal(missing.error(info, name)), false
      end
      return idempotency.method(gate, owner, name, deadline, how, function(header)
        return core.process_method(handle, owner, name, info.name, deadline, id, header)
      end)
    end,
  }
end

return process
