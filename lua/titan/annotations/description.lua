--- `description = "..."`: what the method does, for whoever lists the methods.

---@type titan.Annotation
return {
  schema = { kind = "string", doc = "what the method does, for people" },
  apply = function(method, value)
    method.description = value
  end,
}
