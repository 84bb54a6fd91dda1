--- The keys of `monitoring.tracing`: which traces are recorded and where spans are sent.

local endpoint = require "titan.tracing.endpoint"
local schema = require "titan.schema"

local tracing = {}

---@class titan.TracingConfig every duration in ms
---@field endpoint titan.Endpoint
---@field sample number 0 to 1: the share of the traces that begin here
---@field service_name string
---@field headers table<string, string> of each post
---@field batch integer spans in one post at most
---@field interval integer after which spans are posted that do not fill a batch
---@field queue integer spans that wait to be posted at most
---@field timeout integer of one post

-- What the exporter says itself.
local OWN <const> = {
  host = true, connection = true, ["content-length"] = true, ["content-type"] = true,
  ["transfer-encoding"] = true,
}

-- A field name is a token (RFC 9110, section 5.6.2), a value has no control characters.
---@type titan.Schema
local headers_schema = {
  kind = "map", default = {}, doc = "further header fields of each post, such as a token",
  key = {
    kind = "string", pattern = "^[%w!#$%%&'*+.^_`|~-]+$", allowed = "the name of a header field",
    convert = function(name)
      if OWN[name:lower()] then
        return nil, name .. " is set by Titan"
      end
      return name
    end,
  },
  value = { kind = "string", pattern = "^[^%c\x7f]*$", allowed = "a string without line ends" },
}

---@type titan.Schema
local complete = {
  kind = "table",
  fields = {
    endpoint = {
      kind = "string", default = "http://127.0.0.1:4318/v1/traces", convert = endpoint.parse,
      allowed = 'an http URL such as "http://127.0.0.1:4318/v1/traces"',
      doc = "where OTLP/HTTP is spoken",
    },
    sample = {
      kind = "number", min = 0, max = 1, default = 1.0,
      doc = "the share of the traces that begin here; others are recorded as their caller wants",
    },
    service_name = { kind = "string", min = 1, max = 255, default = "titan" },
    headers = headers_schema,
    batch = { kind = "integer", min = 1, max = 8192, default = 512, doc = "spans of one post" },
    interval = { kind = "duration", min = 1, max = "1h", default = 1000, doc = "between posts" },
    queue = {
      kind = "integer", min = 1, max = 1000000, default = 2048,
      doc = "spans that may wait; further ones are dropped and counted",
    },
    timeout = { kind = "duration", min = 1, max = "1h", default = 5000, doc = "of one post" },
  },
}

--- Options or false.
---@type titan.Schema
tracing.schema = {
  kind = "one_of", default = false,
  of = {
    complete,
    { kind = "enum", values = { false } },
    {
      kind = "enum", values = { true },
      convert = function()
        return schema.check(complete, {}, "")
      end,
    },
  },
  allowed = "true, false or a table",
  doc = "whether methods with trace are recorded, and where spans are sent",
}

return tracing
