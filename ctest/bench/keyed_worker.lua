--- The worker of the sections idempotent and sqlite: a method, bare and idempotent.
--
-- Of the answers in memory no more are kept than there are soon: what is measured is a service that
-- has run for a while, in which a new answer takes the place of an old one.

local titan = require "titan"

local KEPT <const> = 5000

local function add(_, a, b)
  return a + b
end

local function key_of(a)
  return a
end

return titan.process {
  all_methods_public = true,
  methods = {
    bare = add,
    keyed = { idempotent = { max_entries = KEPT }, add },
    asking = { idempotent = { max_entries = KEPT, key_fn = key_of }, add },
    durable = { idempotent = { store = "sqlite" }, add },
    durable_asking = { idempotent = { store = "sqlite", key_fn = key_of }, add },
  },
}
