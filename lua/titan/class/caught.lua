--- Calling what may fail, for the annotations that have to see the error.
--
-- What was caught is the very value that was raised, and where that was is noted beside it (see
-- tasks.trace): raised again with `error(err, 0)` it reaches the caller with the traceback of the
-- line it comes from. Who does not raise it again calls `forget`.

local errors = require "titan.errors"
local remote_error = require "titan.remote_error"
local tasks = require "titan.tasks"

local select = select -- of every call

local caught = {}

--- The message handler: `xpcall(fn, caught.handler, ...)`.
---@param err any
---@return any
function caught.handler(err)
  if err == nil then
    return remote_error.pack(err) -- __close metamethods take nil for no error
  end
  return tasks.trace(err)
end

--- What xpcall returned, as so many values: for who still needs its own arguments and so cannot
--- hand the results on as they come. Of two and more a table is made, of fewer none.
---@param ok boolean
---@param ... any
---@return boolean ok
---@return integer n
---@return any kept for `results`; the error when it failed
function caught.counted(ok, ...)
  local n = select("#", ...)
  if n < 2 then
    return ok, n, (...)
  end
  return ok, n, { ... }
end

--- The results of a call that went well.
---@param n integer
---@param kept any
---@return any ...
function caught.results(n, kept)
  if n == 1 then
    return kept
  elseif n > 1 then
    return table.unpack(kept, 1, n)
  end
end

--- The error as a caller in another process would get it, which is what functions of the user's
--- see: always an error object.
---@param raised any
---@return titan.Error
function caught.seen(raised)
  return errors.is(raised) and raised or remote_error.of(raised, tasks.noted_trace(raised))
end

--- The code that a caller in another process would see.
---@param raised any
---@return titan.ErrorCode
function caught.code(raised)
  return errors.is(raised) and raised.code or "remote_error"
end

--- What was caught is not raised again.
function caught.forget()
  tasks.take_trace()
end

--- A copy with more in its details.
---@param err titan.Error
---@param more table<string, any>
---@return titan.Error
function caught.with_details(err, more)
  local details = {}
  for _, fields in ipairs { type(err.details) == "table" and err.details or {}, more } do
    for key, value in pairs(fields) do
      details[key] = value
    end
  end
  return errors.new(err.code, err.message, {
    details = details, process = err.process, method = err.method, retryable = err.retryable,
    traceback = err.traceback or tasks.noted_trace(err),
  })
end

--- Asks a function of the user's about an error. One that it raises is an error of the call.
---@param fn fun(err: titan.Error): any
---@param what string "image-worker.resize: retry.retry_if"
---@param raised any
---@return any answer
function caught.ask(fn, what, raised)
  local ok, answer = pcall(fn, caught.seen(raised))
  if ok then
    return answer
  elseif caught.code(answer) == "cancelled" then
    error(answer, 0)
  end
  errors.raise("remote_error", string.format("%s raised: %s", what, caught.seen(answer).message))
end

return caught
