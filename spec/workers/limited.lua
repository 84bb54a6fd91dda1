-- Methods that let no more through than their limit.
local body = require "support.body"
local titan = require "titan"

local ran = 0

local function run(_, value)
  ran = ran + 1
  return value
end

local function by_user(user)
  return user
end

-- So slow that nothing comes back while a test runs.
local methods = {
  ran = function()
    return ran
  end,
  alone = { rate_limit = { rps = 0.01, burst = 3, store = "memory" }, run },
  users = { rate_limit = { rps = 0.01, burst = 1, key_fn = by_user, store = "memory" }, run },
  quick = { rate_limit = { rps = 100, burst = 1, store = "memory" }, run },
  sliding = {
    rate_limit = { rps = 0.01, burst = 2, strategy = "sliding_window", store = "memory" }, run,
  },
  fixed = { rate_limit = { rps = 1.5, strategy = "fixed_window", store = "memory" }, run },
  indirectly = function(self, value)
    return self:alone(value)
  end,
  die = function()
    body.die()
  end,
  broken_key = { rate_limit = { rps = 1, key_fn = function() end }, run },
  shared = { rate_limit = { rps = 0.01, burst = 6 }, run },
  shared_users = { rate_limit = { rps = 0.01, burst = 2, key_fn = by_user }, run },
}

return titan.process { name = "limited", all_methods_public = true, methods = methods }
