--- The worker of the sections idempotent and sqlite: a method, bare and idempotent.

local titan = require "titan"

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
    keyed = { idempotent = {}, add },
    asking = { idempotent = { key_fn = key_of }, add },
    durable = { idempotent = { store = "sqlite" }, add },
    durable_asking = { idempotent = { store = "sqlite", key_fn = key_of }, add },
  },
}
