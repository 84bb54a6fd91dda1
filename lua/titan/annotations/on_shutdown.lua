--- `on_shutdown = true`: the method is called when its process is asked to stop.
--
-- It gets no argument but `self`. A class may have several; they run one after the
-- other in the order of their names, and all of them inside the shutdown timeout.

---@type titan.Annotation
return {
  schema = { kind = "boolean", doc = "whether the method is called before the process ends" },
  apply = function(method, value)
    method.on_shutdown = value
  end,
}
