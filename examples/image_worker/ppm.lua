-- Pictures as PPM files, the "raw" kind (P6) with a byte a sample: a few words of text, then
-- red, green, blue of each pixel, row by row. https://netpbm.sourceforge.net/doc/ppm.html
local ppm = {}

---@class Picture
---@field width integer
---@field height integer
---@field pixels string 3 bytes a pixel, from the top left on

-- The next number of the header, after white space. A comment goes from a # to the end of its line.
local function number(bytes, at)
  local before <const> = at
  repeat
    local after = bytes:match("^%s+()", at) or at
    local comment = bytes:match("^#[^\n]*()", after)
    at = comment or after
  until not comment
  if at == before then
    return nil
  end
  local digits, after = bytes:match("^(%d%d?%d?%d?%d?)()", at)
  return math.tointeger(tonumber(digits)), after
end

---@param bytes string of a file
---@return Picture? picture
---@return string? why there is none
function ppm.decode(bytes)
  if bytes:sub(1, 2) ~= "P6" then
    return nil, "it does not begin with P6, as a PPM file does"
  end
  local width, height, most
  local at = 3
  width, at = number(bytes, at)
  height, at = number(bytes, at)
  most, at = number(bytes, at)
  if not most or width == 0 or height == 0 or not bytes:find("^%s", at) then
    return nil, "its header has no width, height and maximum"
  elseif most ~= 255 then
    return nil, string.format("its samples go up to %d; 255 is read here", most)
  end
  local pixels = bytes:sub(at + 1)
  if #pixels ~= 3 * width * height then
    return nil, string.format("%d x %d pixels are %d bytes, and it has %d", width, height,
      3 * width * height, #pixels)
  end
  return { width = width, height = height, pixels = pixels }
end

---@param picture Picture
---@return string bytes of a file
function ppm.encode(picture)
  return string.format("P6\n%d %d\n255\n", picture.width, picture.height) .. picture.pixels
end

--- A check for the annotation `validate`.
---@param bytes string
---@return boolean
---@return string? why not
function ppm.check(bytes)
  local picture, why = ppm.decode(bytes)
  return picture ~= nil, why
end

return ppm
