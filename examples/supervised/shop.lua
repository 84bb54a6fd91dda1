-- A worker that does a little of everything a shop does, slowly enough to be interrupted.
local titan = require "titan"

return titan.process {
  methods = {
    price = {
      public = true, idempotent = true,
      function(_, item)
        titan.sleep(math.random(5, 40))
        return #item * 100
      end,
    },
  },
}
