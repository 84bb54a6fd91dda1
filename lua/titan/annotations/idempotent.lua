--- `idempotent = true`: calling the method twice does what calling it once does. A pool calls it
--- again, on another worker, when the worker that had the call was lost and there is time left.
---
--- `idempotent = { key_fn, ttl, store, max_entries }`: calls with the same key are one call. The
--- first runs the method, those that come meanwhile wait for it, and those that come later get its
--- answer, for `ttl`; also in another worker of the pool, and after the one that ran it died.
--
-- The key is what the caller gave (`with { idempotency_key = }`), else what `key_fn` makes of the
-- arguments, else core.digest of them. Errors are not remembered. A worker that dies while it runs
-- the method has given no answer: it is run again, and that answer is the one remembered.
--
-- Where the manager knows the key (it was given, or is the digest) it holds the claim itself
-- (titan.idempotency) and says so with the call; where it does not, the worker asks it. The worker
-- asks also where something stands around it that may end a call in its place: what a fallback
-- or a cache returns is not an answer of the method, and an annotation of the user's own is run for
-- every call.

local core = require "titan.core"
local keys = require "titan.store.keys"
local once = require "titan.store.once"
local store = require "titan.store"

---@class titan.IdempotentOptions
---@field key_fn? fun(...): string|number
---@field ttl integer ms
---@field store "memory"|"manager"|"sqlite"
---@field max_entries integer

---@type table<string, titan.Schema>
local fields = {
  key_fn = { kind = "function", doc = "(...) -> what makes two calls the same" },
  ttl = { kind = "duration", min = 1, default = "1h", doc = "how long an answer is remembered" },
  store = store.schema "manager",
  max_entries = {
    kind = "integer", min = 1, default = 100000,
    doc = "answers in memory; those not asked for the longest give way",
  },
}

---@type titan.Schema
local options_schema = { kind = "table", fields = fields }

---@type titan.Annotation
return {
  schema = {
    kind = "one_of", allowed = "true, false or a table",
    of = { { kind = "boolean" }, options_schema },
    doc = "whether calling it twice is like calling it once, and what makes two calls one",
  },
  apply = function(method, value)
    method.idempotent = value
  end,
  wrap = function(inner, options, place)
    if options == true then
      return inner
    end
    local use = {
      ttl = options.ttl, in_memory = options.store == "memory",
      store = store.open(options.store, {
        space = store.space("idempotent", place), max_entries = options.max_entries,
      }),
    }
    local key_of = keys.of(place, "idempotent.key_fn", options.key_fn)
    -- An annotation of the user's own may call it again, for the same call, when it has raised.
    local running = setmetatable({}, {
      __close = function(_, err)
        local context = err ~= nil and core.context()
        if context then
          context.entered = place
        end
      end,
    })
    local context_of, take_claim = core.context, core.take_claim
    return function(self, ...)
      local has_claim, context = take_claim(), context_of()
      if has_claim and not options.key_fn then
        if context and context.entered == place then
          context.entered = nil
        end
        return inner(self, ...)
      end
      if not context or context.entered ~= place then
        return once.call(use, key_of(...), inner, self, ...)
      end
      local _ <close> = running
      context.entered = nil
      local given = context.idempotency_key
      -- A manager that knows the class as it was before a reload may have taken another key.
      if context.claimed and (given or not options.key_fn) then
        return inner(self, ...)
      end
      return once.call(use, given or key_of(...), inner, self, ...)
    end
  end,
  -- The caller's key and the manager's claim are for the method that was called, not for those that
  -- it calls itself.
  wrap_entry = function(outer, options, place)
    if options == true then
      return outer
    end
    -- What the method leaves running is not of its call any more.
    local entered = setmetatable({}, {
      __close = function()
        local context = core.context()
        if context then
          context.entered = nil
        end
      end,
    })
    local context_of = core.context
    return function(self, ...)
      local context = context_of()
      if not context then
        return outer(self, ...)
      end
      context.entered = place
      local _ <close> = entered
      return outer(self, ...)
    end
  end,
}
