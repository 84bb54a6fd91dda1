--- Values by their key, in the order of their last use, some of which end by themselves.
--
-- Every operation takes constant time and makes no garbage but the item of a key that is new.
-- Whoever adds one sweeps: each sweep looks at two, going round, so that of n values none that has
-- expired outlives n more, and no timer is needed that would keep a program alive.
--
-- An item is a list: with names in it it would be twice as large, and much of the time goes by
-- waiting for the memory of items that were not used for long.

local shelf = {}

local KEY <const>, VALUE <const>, EXPIRES <const>, NEWER <const>, OLDER <const> = 1, 2, 3, 4, 5

---@alias titan.ShelfItem any[] key, value, expires, newer, older

---@class titan.Shelf
---@field package count integer
---@field package items table<string, titan.ShelfItem>
---@field package ring titan.ShelfItem before the oldest and behind the newest
---@field package cursor titan.ShelfItem what the next sweep looks at
local Shelf = {}
Shelf.__index = Shelf

---@return titan.Shelf
function shelf.new()
  local ring = { false, false, false, false, false }
  ring[NEWER], ring[OLDER] = ring, ring
  return setmetatable({ items = {}, ring = ring, cursor = ring, count = 0 }, Shelf)
end

---@param self titan.Shelf
---@param item titan.ShelfItem
local function unlink(self, item)
  local newer, older = item[NEWER], item[OLDER]
  if self.cursor == item then
    self.cursor = newer
  end
  newer[OLDER], older[NEWER] = older, newer
end

---@param self titan.Shelf
---@param item titan.ShelfItem
local function touch(self, item)
  local ring = self.ring
  local newest = ring[OLDER]
  if newest ~= item then
    unlink(self, item)
    item[OLDER], item[NEWER] = newest, ring
    newest[NEWER], ring[OLDER] = item, item
  end
end

---@param self titan.Shelf
---@param item titan.ShelfItem
local function remove(self, item)
  unlink(self, item)
  self.items[item[KEY]] = nil
  self.count = self.count - 1
end

--- The value of the key, which is the newest now; nil when there is none (any more).
---@param key string
---@param now number on the clock of what `put` was given
---@return any value
function Shelf:get(key, now)
  local item = self.items[key]
  if not item then
    return nil
  end
  local expires = item[EXPIRES]
  if expires and expires <= now then
    remove(self, item)
    return nil
  end
  touch(self, item)
  return item[VALUE]
end

--- Whether there is a value, be it one that has expired.
---@param key string
---@return boolean
function Shelf:has(key)
  return self.items[key] ~= nil
end

--- Puts a value there, in the place of the key's last, as the newest.
---@param key string
---@param value any not nil
---@param expires number? never without one
function Shelf:put(key, value, expires)
  local item = self.items[key]
  if item then
    item[VALUE], item[EXPIRES] = value, expires
    touch(self, item)
    return
  end
  local ring = self.ring
  local newest = ring[OLDER]
  item = { key, value, expires, ring, newest }
  newest[NEWER], ring[OLDER] = item, item
  self.items[key] = item
  self.count = self.count + 1
end

---@return integer
function Shelf:len()
  return self.count
end

---@param key string
function Shelf:remove(key)
  local item = self.items[key]
  if item then
    remove(self, item)
  end
end

--- Removes the value that was not used for the longest time.
---@return boolean whether there was one
function Shelf:remove_oldest()
  local oldest = self.ring[NEWER]
  if oldest == self.ring then
    return false
  end
  remove(self, oldest)
  return true
end

--- Looks at two more values, or so many, and removes those that have expired.
---@param now number
---@param looks? integer
---@return integer removed
function Shelf:sweep(now, looks)
  local before = self.count
  for _ = 1, math.min(looks or 2, before) do
    local item = self.cursor
    if item == self.ring then
      item = item[NEWER]
    end
    self.cursor = item[NEWER]
    local expires = item[EXPIRES]
    if expires and expires <= now then
      remove(self, item)
    end
  end
  return before - self.count
end

return shelf
