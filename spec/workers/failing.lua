--- Methods that fail, each in its own way.

local errors = require "titan.errors"
local titan = require "titan"

local function refuse()
  error "it broke"
end

return titan.process {
  all_methods_public = true,
  methods = {
    with_text = function()
      refuse()
    end,
    with_bare_text = function()
      error("it broke", 0)
    end,
    with_table = function()
      error { reason = "full", left = { 0, 1 } }
    end,
    with_message = function()
      error { message = "the disk is full", disk = 3 }
    end,
    with_untravelling = function()
      error { message = "the disk is full", disk = print }
    end,
    with_object = function()
      error(setmetatable({ disk = 3 }, {
        __tostring = function(self)
          return "disk " .. self.disk .. " is full"
        end,
      }))
    end,
    with_unshowable = function()
      error(setmetatable({ disk = 3 }, {
        __tostring = function()
          error "never"
        end,
      }))
    end,
    with_unreadable = function()
      error(setmetatable({ disk = 3 }, {
        __index = function()
          error "never"
        end,
      }))
    end,
    with_nothing = function()
      error()
    end,
    with_number = function()
      error(42)
    end,
    with_function = function()
      error(print)
    end,
    with_error = function(_, code, retryable, left)
      errors.raise(code, "not now", { details = { left = left or 3 }, retryable = retryable })
    end,
    with_details = function(_, depth)
      local details = {}
      for _ = 2, depth do
        details = { inner = details }
      end
      errors.raise("overloaded", "not now", { details = details })
    end,
    with_mistake = function()
      return _ENV.nothing.field
    end,
    after_waiting = function()
      titan.sleep(1)
      refuse()
    end,
    with_length = function(_, length)
      error(("x"):rep(length), 0)
    end,
    alive = function()
      return true
    end,
  },
}
