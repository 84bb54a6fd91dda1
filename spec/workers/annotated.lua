-- A class with annotations of its own.
local titan = require "titan"

local loud = {
  schema = { kind = "boolean" },
  wrap = function(inner, _, place)
    return function(self, text)
      return { string.format("loud in %s.%s of %s", place.class, place.method, place.process),
        inner(self, text):upper() }
    end
  end,
}

local function around(left, right)
  return {
    schema = { kind = "boolean" },
    wrap = function(inner)
      return function(self, text)
        local result = inner(self, text)
        result = type(result) == "table" and result or { result }
        table.insert(result, 1, left)
        table.insert(result, right)
        return result
      end
    end,
  }
end

local function echo(_, text)
  return text
end

return titan.process {
  name = "annotated",
  annotations = { loud = loud, a = around("(", ")"), b = around("[", "]") },
  methods = {
    shout = { public = true, loud = true, echo },
    whisper = { public = true, loud = false, echo },
    nested = { public = true, b = true, a = true, echo },
    indirectly = { public = true, function(self, text)
      return self:shout(text)
    end },
  },
}
