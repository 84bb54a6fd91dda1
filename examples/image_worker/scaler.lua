-- Scales pictures by area averaging, which Netpbm calls pixel mixing: a pixel of the result is the
-- mean of what it covers of the source, where a source pixel that it covers in part counts for
-- that part. https://netpbm.sourceforge.net/doc/pamscale.html
--
-- The covered area is a rectangle, so rows are scaled first and then columns. Lengths are counted
-- in parts that divide both the old and the new pixel, so that all numbers are integers and every
-- sample is the exact mean, rounded.
local scaler = {}

-- What each of `to` pixels in a line covers of `from` pixels in the same line.
---@param from integer
---@param to integer
---@return { first: integer, [integer]: integer }[] the first pixel, from 0, and the parts of it and
--- of those after it; they are `from` together
local function shares(from, to)
  local list = {}
  for i = 1, to do
    local low <const>, high <const> = (i - 1) * from, i * from
    local share = { first = low // to }
    for pixel = share.first, (high - 1) // to do
      share[#share + 1] = math.min(high, (pixel + 1) * to) - math.max(low, pixel * to)
    end
    list[i] = share
  end
  return list
end

-- A row of the source in the new width; every sample is still to be divided by the old one.
---@param row string
---@param columns { first: integer, [integer]: integer }[]
---@return integer[] samples
local function scaled_row(row, columns)
  local samples, byte <const> = {}, string.byte
  for i, share in ipairs(columns) do
    local red, green, blue = 0, 0, 0
    local at = 3 * share.first
    for k = 1, #share do
      local part <const>, r, g, b = share[k], byte(row, at + 1, at + 3)
      red, green, blue, at = red + part * r, green + part * g, blue + part * b, at + 3
    end
    samples[3 * i - 2], samples[3 * i - 1], samples[3 * i] = red, green, blue
  end
  return samples
end

-- The mean of some scaled rows.
---@param rows integer[][]
---@param share { first: integer, [integer]: integer }
---@param area integer what to divide by
---@return string row
local function mixed(rows, share, area)
  local samples, char <const> = {}, string.char
  for i = 1, #rows[1] do
    local sum = area // 2 -- rounds
    for k = 1, #share do
      sum = sum + share[k] * rows[share.first + k][i]
    end
    samples[i] = char(sum // area)
  end
  return table.concat(samples)
end

---@param picture Picture
---@param width integer at least 1
---@param height? integer else what keeps the proportions
---@return Picture
function scaler.resize(picture, width, height)
  height = height
    or math.max(1, (2 * picture.height * width + picture.width) // (2 * picture.width))
  local columns, rows, out = shares(picture.width, width), {}, {}
  for y = 1, picture.height do
    local stride <const> = 3 * picture.width
    rows[y] = scaled_row(picture.pixels:sub((y - 1) * stride + 1, y * stride), columns)
  end
  for y, share in ipairs(shares(picture.height, height)) do
    out[y] = mixed(rows, share, picture.width * picture.height)
  end
  return { width = width, height = height, pixels = table.concat(out) }
end

return scaler
