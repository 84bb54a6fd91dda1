--- Functions that a user put into an annotation, beside the method itself.

local errors = require "titan.errors"

local foreign = {}

--- What one of them raised, for the caller: a plain error becomes one that says whose it is; an
--- error object, such as that of a call that was cancelled while it waited, is passed on.
---@param who string such as `image-worker.resize: metric.labels.format`
---@param err any
function foreign.raise(who, err)
  if errors.is(err) then
    error(err, 0)
  end
  local shown, what = pcall(tostring, err)
  errors.raise("remote_error", string.format("%s raised: %s", who,
    shown and what or "a value that cannot be shown"))
end

return foreign
