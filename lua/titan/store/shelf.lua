--- Items by their key, in the order of their last use, some of which end by themselves.
--
-- Every operation takes constant time and makes no garbage but the item that is added. An item is
-- a table of its user's, in which the shelf keeps `key`, `newer` and `older`; `expires`, on
-- whatever clock, is the user's to set. Whoever adds an item sweeps: each sweep looks at two,
-- going round, so that of n items none that has expired outlives n more, and no timer
-- is needed that would keep a program alive.

local shelf = {}

---@class titan.ShelfItem
---@field key string
---@field expires? number never without one
---@field package newer titan.ShelfItem
---@field package older titan.ShelfItem

---@class titan.Shelf
---@field count integer
---@field by_key table<string, titan.ShelfItem> to be read only
---@field package ring titan.ShelfItem before the oldest and behind the newest
---@field package cursor titan.ShelfItem what the next sweep looks at
local Shelf = {}
Shelf.__index = Shelf

---@return titan.Shelf
function shelf.new()
  local ring = {}
  ring.newer, ring.older = ring, ring
  return setmetatable({ by_key = {}, ring = ring, cursor = ring, count = 0 }, Shelf)
end

---@param self titan.Shelf
---@param item titan.ShelfItem
local function link(self, item)
  local ring = self.ring
  local newest = ring.older
  item.older, item.newer = newest, ring
  newest.newer, ring.older = item, item
end

---@param self titan.Shelf
---@param item titan.ShelfItem
local function unlink(self, item)
  if self.cursor == item then
    self.cursor = item.newer
  end
  item.newer.older, item.older.newer = item.older, item.newer
end

--- Puts an item there, as the newest. There must be none of the key.
---@param key string
---@param item table
function Shelf:add(key, item)
  item.key = key
  self.by_key[key] = item
  self.count = self.count + 1
  link(self, item)
end

--- The item was used.
---@param item titan.ShelfItem
function Shelf:touch(item)
  if self.ring.older ~= item then
    unlink(self, item)
    link(self, item)
  end
end

---@param item titan.ShelfItem one that is there
function Shelf:remove(item)
  unlink(self, item)
  self.by_key[item.key] = nil
  self.count = self.count - 1
end

--- The item that was not used for the longest time.
---@return titan.ShelfItem?
function Shelf:oldest()
  local oldest = self.ring.newer
  return oldest ~= self.ring and oldest or nil
end

--- Looks at two more items, or so many, and removes those that have expired.
---@param now number
---@param looks? integer
---@return integer removed
function Shelf:sweep(now, looks)
  local before = self.count
  for _ = 1, math.min(looks or 2, before) do
    local item = self.cursor
    if item == self.ring then
      item = item.newer
    end
    self.cursor = item.newer
    if item.expires and item.expires <= now then
      self:remove(item)
    end
  end
  return before - self.count
end

return shelf
