-- Says what it may be given and what it returns.
local titan = require "titan"

local ran = 0

local function pass(_, ...)
  ran = ran + 1
  return ...
end

local size <const> = { type = "integer", min = 1, max = 10000 }

return titan.process {
  name = "validated",
  all_methods_public = true,
  methods = {
    resize = {
      validate = {
        args = { { type = "string", min_len = 1 }, { fields = { width = size, height = size } },
          "boolean?" },
      },
      pass,
    },
    join = { validate = { args = { "integer", rest = "string" } }, pass },
    nothing = { validate = { args = {} }, pass },
    answer = {
      validate = { result = { fields = { status = { one_of = { "ok", "failed" } } } } },
      pass,
    },
    pair = { validate = { result = { "integer", "string?" } }, pass },
    none = { validate = { result = {} }, pass },
    count = {
      validate = { args = { "integer", "integer", "integer", "integer", "integer", "integer?" } },
      function(_, ...)
        return select("#", ...)
      end,
    },
    strange = {
      validate = {
        args = { { type = "integer", check = function(value)
          if value == 13 then
            error "not in front of the guests"
          elseif value == 14 then
            titan.sleep(1)
          end
          return value ~= 15, "must not be fifteen"
        end } },
      },
      pass,
    },
    ran = function()
      return ran
    end,
    inside = function(self, ...)
      return self:resize(...)
    end,
  },
}
