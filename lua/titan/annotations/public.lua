--- `public = true`: the method may be called from outside its process.
--
-- Without it a method is private, unless the class says `all_methods_public`; then
-- `public = false` keeps this one private.

---@type titan.Annotation
return {
  schema = { kind = "boolean", doc = "whether the method may be called from outside" },
  apply = function(method, value)
    method.public = value
  end,
}
