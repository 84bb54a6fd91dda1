--- How long an answer asks to wait before the next request: Retry-After (RFC 9110, section
--- 10.2.3), a number of seconds or a date.

local MONTHS <const> = {
  Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10,
  Nov = 11, Dec = 12,
}

---@param text string an IMF-fixdate
---@return integer? seconds from now
local function until_date(text)
  local day, month, year, hour, min, sec =
    text:match "^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$"
  if not day or not MONTHS[month] then
    return nil
  end
  -- Both are taken for local time, so that their difference is right.
  local date = os.time {
    year = year, month = MONTHS[month], day = day, hour = hour, min = min, sec = sec,
  }
  local now = os.time(os.date "!*t" --[[@as osdateparam]])
  return date and math.max(date - now, 0)
end

---@param value string?
---@return integer? ms nil when it does not say
return function(value)
  if not value then
    return nil
  end
  local seconds = value:find "^%d+$" and #value <= 9 and math.tointeger(tonumber(value))
    or until_date(value)
  return seconds and seconds * 1000
end
