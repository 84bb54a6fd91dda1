--- Names of processes that nobody has chosen.

local names = {}

local NAME_MAX <const> = 64 -- bytes

--- The first free one of name-1, name-2 and so on, or from another number on. None is longer than a
--- name may be.
---@param name string
---@param is_free fun(name: string): boolean
---@param from? integer
---@return string
function names.numbered(name, is_free, from)
  local number = from or 1
  while true do
    local suffix = "-" .. number
    local candidate = name:sub(1, NAME_MAX - #suffix) .. suffix
    if is_free(candidate) then
      return candidate
    end
    number = number + 1
  end
end

--- The name itself if it is free, else it gives way: the second image-worker is image-worker-2.
---@param name string
---@param is_free fun(name: string): boolean
---@return string
function names.free(name, is_free)
  local candidate = name:sub(1, NAME_MAX)
  return is_free(candidate) and candidate or names.numbered(name, is_free, 2)
end

return names
