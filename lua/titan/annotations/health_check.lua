--- `health_check = true`: the method is called to find out how its process is.
--
-- It gets no argument but `self`. It answers `true` or nothing (healthy), `false` with a reason
-- (a failed check), or a table with a `status` ("healthy", "degraded" or "unhealthy"), a
-- `reason`, and whatever else its users want to see. A class may have several; the worst answer
-- counts. It need not be public: only its manager can call it then.

---@type titan.Annotation
return {
  schema = { kind = "boolean", doc = "whether the method says how its process is" },
  apply = function(method, value)
    method.health_check = value
  end,
}
