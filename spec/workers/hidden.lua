--- Nothing public.

local titan = require "titan"

return titan.process { methods = { secret = print } }
