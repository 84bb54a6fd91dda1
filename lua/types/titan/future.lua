---@meta _

--- A task that runs or has ended: what titan.go and `proxy.async:method(...)` return.
---@class titan.Future
local Future = {}

--- Waits for the task. Returns what it returned, raises what it raised.
---@return any ...
function Future:await() end

--- Gives the task up: `cancelled` is raised where it waits, and its to-be-closed variables are
--- closed.
---@return boolean interrupted false when it has ended, or waits for what is not Titan's
function Future:cancel() end

--- Whether the task has ended, in whatever way.
---@return boolean
function Future:done() end

--- Nobody will await it: should it fail, that is no news.
---@return titan.Future self
function Future:ignore() end
