--- A titan.buffer of 1 MiB, shared with another process.

local calling = require "calling"
local measuring = require "measuring"
local titan = require "titan"

local PAYLOAD <const> = 1 << 20

return {
  run = function(pm, size)
    if not titan.buffer then
      measuring.skip("buffers", "copied", "titan.buffer is not built")
      return
    end
    local worker, buffer = pm:spawn "buffer_worker", titan.buffer(PAYLOAD)
    local payload = ("x"):rep(PAYLOAD)
    -- As much as the floor does: both sides copy in and out.
    measuring.report("buffers", "copied", {
      mib_per_s = calling.echo_rate(payload, size.echoes, function(given)
        buffer:write(1, given)
        worker:copy(buffer)
        return buffer:read()
      end),
    })
    buffer:write(1, payload)
    measuring.report("buffers", "passed", {
      mib_per_s = calling.echo_rate(payload, size.echoes, function(given)
        worker:echo(buffer)
        return given
      end),
    })
  end,
}
