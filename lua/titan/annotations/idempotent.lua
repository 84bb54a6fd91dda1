--- `idempotent = true`: calling the method twice does what calling it once does.
--
-- A pool calls it again, on another worker, when the worker that had the call was lost and
-- there is time left. The form with a key, a ttl and a store, which remembers what was
-- answered, is not built yet.

local text = require "titan.text"

---@type titan.Annotation
return {
  schema = {
    kind = "one_of", allowed = "true or false",
    of = {
      { kind = "boolean" },
      {
        kind = "any", type = "table", allowed = "true or false",
        convert = function()
          return nil, text.not_built "idempotency keys" .. "; what works is idempotent = true"
        end,
      },
    },
    doc = "whether a pool may call the method again when its worker was lost",
  },
  apply = function(method, value)
    method.idempotent = value
  end,
}
