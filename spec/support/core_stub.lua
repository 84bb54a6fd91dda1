--- Stands in for titan.core where the C core is not at hand, so that the pure Lua
--- modules can be tried by themselves. Does nothing where the real one is found.
--
-- Of the core these modules use `suggest` alone.

if pcall(require, "titan.core") then
  return
end

-- Edits from `a` to `b`, a swap of neighbours counting as one.
---@param a string
---@param b string
---@return integer
local function distance(a, b)
  local rows = { [0] = {} }
  for j = 0, #b do
    rows[0][j] = j
  end
  for i = 1, #a do
    rows[i] = { [0] = i }
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local best = math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        best = math.min(best, rows[i - 2][j - 2] + 1)
      end
      rows[i][j] = best
    end
  end
  return rows[#a][#b]
end

---@param word string
---@param names string[]
---@return string? nearest one that a third of the word, or less, would have to change for
local function suggest(word, names)
  local nearest, least = nil, math.max(1, #word // 3) + 1
  for _, name in ipairs(names) do
    local edits = distance(word, name)
    if edits < least then
      nearest, least = name, edits
    end
  end
  return nearest
end

package.loaded["titan.core"] = { suggest = suggest }
