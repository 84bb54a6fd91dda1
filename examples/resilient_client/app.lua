-- A client that keeps its promises while the service behind it does not.
--
-- usage: titan run app.lua
--
-- "prices" converts currencies with the rates of another service, "rates", which is well, then
-- shaky, then does not answer at all, then is well again, and at last is asked by many at once.
local luv = require "luv"
local titan = require "titan"

local pm = titan.manager { logs = { format = "none" } }
local rates = pm:spawn("rates", { name = "rates" })
local prices = pm:spawn("prices", { name = "prices" })

local function say(what, ...)
  print(string.format(what, ...))
end

local function convert(times)
  for _ = 1, times do
    local start = luv.hrtime()
    local amount, how = prices:convert(10, "EUR")
    say("   10 EUR are %.2f: %s, after %d ms", amount, how, (luv.hrtime() - start) // 1e6)
  end
end

say "rates is well"
convert(1)

say "rates is shaky: two calls of three fail (retry)"
rates:feel "shaky"
convert(2)

say "rates does not answer (timeout, then circuit_breaker, and always the fallback)"
rates:feel "down"
convert(4)

say "rates is well again, and a moment later it is found out"
rates:feel "well"
convert(1)
titan.sleep(400)
convert(2)

say "eight at once (bulkhead)"
local futures, ways = {}, {}
for i = 1, 8 do
  futures[i] = titan.go(function()
    local _, how = prices:convert(10, "EUR")
    ways[how] = (ways[how] or 0) + 1
  end)
end
titan.all(futures)
for _, how in ipairs { "today's rate", "yesterday's rate, since overloaded" } do
  say("   %d got %s", ways[how] or 0, how)
end
