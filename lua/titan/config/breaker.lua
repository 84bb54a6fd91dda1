--- The keys of a circuit breaker: that of a pool, and that of a method.

---@class titan.BreakerOptions
---@field failure_threshold integer
---@field timeout integer ms
---@field half_open_requests integer

---@type table<string, titan.Schema>
return {
  failure_threshold = { kind = "integer", min = 1, max = 1000000, default = 5,
    doc = "failures in a row that open it" },
  timeout = { kind = "duration", min = 1, max = "1000h", default = 30000,
    doc = "how long it stays open" },
  half_open_requests = { kind = "integer", min = 1, max = 65536, default = 1,
    doc = "calls let through after that; as many successes close it" },
}
