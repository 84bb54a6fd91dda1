--- Names of processes that nobody has chosen.

local names = {}

local NAME_MAX <const> = 64 -- bytes

--- From which number on one may be free, so that the thousandth worker of a class need not ask for
--- 999 names first.
---@class titan.NameHints
---@field named table<string, integer> for names.free
---@field numbered table<string, integer> for names.numbered

---@return titan.NameHints
function names.hints()
  return { named = {}, numbered = {} }
end

---@param hints table<string, integer>
---@param name string
---@param number number
local function lower(hints, name, number)
  if hints[name] and number < hints[name] then
    hints[name] = number
  end
end

--- To be told of every name that is free again, or it may not be found before those that were not
--- used yet.
---@param hints titan.NameHints
---@param name string
function names.released(hints, name)
  lower(hints.named, name, 1)
  local base, digits = name:match "^(.+)%-(%d+)$"
  if base then
    lower(hints.named, base, tonumber(digits))
    lower(hints.numbered, base, tonumber(digits))
  end
end

---@param name string
---@param number integer
---@return string
local function with_number(name, number)
  local suffix = "-" .. number
  return name:sub(1, NAME_MAX - #suffix) .. suffix
end

---@param name string
---@param is_free fun(name: string): boolean
---@param hints table<string, integer>
---@param first string what number 1 is
---@return string
local function lowest(name, is_free, hints, first)
  local number = hints[name] or 1
  local candidate = number == 1 and first or with_number(name, number)
  while not is_free(candidate) do
    number = number + 1
    candidate = with_number(name, number)
  end
  hints[name] = number
  return candidate
end

--- The first free one of name-1, name-2 and so on. None is longer than a name may be.
---@param name string
---@param is_free fun(name: string): boolean
---@param hints? titan.NameHints
---@return string
function names.numbered(name, is_free, hints)
  return lowest(name, is_free, hints and hints.numbered or {}, with_number(name, 1))
end

--- The name itself if it is free, else it gives way: the second image-worker is image-worker-2.
---@param name string
---@param is_free fun(name: string): boolean
---@param hints? titan.NameHints
---@return string
function names.free(name, is_free, hints)
  return lowest(name, is_free, hints and hints.named or {}, name:sub(1, NAME_MAX))
end

return names
