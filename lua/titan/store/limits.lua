--- How many calls a limit lets through: three strategies over the same two numbers.
--
-- A limit is `rps`, calls a second in the long run, and `burst`, how many may come at once. The
-- window of the two strategies with windows is burst / rps seconds long, so that all three let
-- the same number through in the long run.
--
--  * token_bucket: a bucket of `burst` tokens, `rps` of which come back each second. Kept as the
--    time at which it will be full again (the generic cell rate algorithm, in the form of virtual
--    scheduling: ITU-T I.371, annex A): one number a key.
--  * sliding_window: in no window, whenever it begins, there are more than `burst` calls. An exact
--    log of the last `burst` calls in a ring: its size is that of `burst` numbers a key.
--  * fixed_window: `burst` calls in a window, which begins with the first call after the last
--    window. Around the end of one, twice as many can come in one window's time.
--
-- Each is a function of what is kept of the key (an empty table at first), the limit and the time
-- in ms. It returns true, or false and the ms until one more would be let through; and sets
-- `expires`, after which an empty table says the same. A clock that jumps back gives nobody more:
-- what was used stays used.

local limits = {}

---@class titan.Limiter
---@field strategy "token_bucket"|"sliding_window"|"fixed_window"
---@field rps number above 0
---@field burst integer at least 1

-- Sums of floats are not exact; waiting for what was said must be enough.
---@param period number ms
---@return number ms
local function slack_of(period)
  return math.min(1e-3, period * 1e-3)
end

---@type table<string, fun(state: table, limit: titan.Limiter, now: number): boolean, number?>
local strategies = {}

function strategies.token_bucket(state, limit, now)
  local interval = 1000 / limit.rps
  local full = math.max(state.full or now, now)
  local early = full - (limit.burst - 1) * interval - now
  if early > slack_of(interval) then
    return false, early
  end
  state.full = full + interval
  state.expires = state.full
  return true
end

---@param limit titan.Limiter
---@return number ms
local function window_of(limit)
  return limit.burst * 1000 / limit.rps
end

function strategies.sliding_window(state, limit, now)
  local window = window_of(limit)
  local place = (state.place or 0) % limit.burst + 1
  local oldest = state[place]
  if oldest and oldest + window - now > slack_of(window / limit.burst) then
    return false, oldest + window - now
  end
  local at = math.max(now, state.last or now)
  state[place], state.place, state.last = at, place, at
  state.expires = at + window
  return true
end

function strategies.fixed_window(state, limit, now)
  local window = window_of(limit)
  if not state.expires or state.expires - now <= slack_of(window / limit.burst) then
    state.expires, state.count = now + window, 0
  end
  if state.count >= limit.burst then
    return false, state.expires - now
  end
  state.count = state.count + 1
  return true
end

--- Whether it is a limit that can be worked with.
---@param limit { strategy: any, rps: any, burst: any }
---@return boolean
function limits.is_limit(limit)
  return strategies[limit.strategy] ~= nil and type(limit.rps) == "number" and limit.rps > 0
    and math.type(limit.burst) == "integer" and limit.burst >= 1
end

--- Lets one more through, or says after how many ms.
---@param state table
---@param limit titan.Limiter
---@param now number ms
---@return boolean
---@return number? retry_after_ms
function limits.take(state, limit, now)
  return strategies[limit.strategy](state, limit, now)
end

return limits
