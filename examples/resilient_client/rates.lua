-- A service that is not always well.
local titan = require "titan"

return titan.process {
  all_methods_public = true,
  init = function(self)
    self.mood, self.asked = "well", 0
  end,
  methods = {
    feel = function(self, mood)
      self.mood, self.asked = mood, 0
    end,
    of = function(self, currency)
      self.asked = self.asked + 1
      if self.mood == "down" then
        titan.sleep "1h"
      elseif self.mood == "shaky" and self.asked % 3 ~= 0 then
        error "the line was cut"
      end
      titan.sleep(5)
      return #currency / 2
    end,
  },
}
