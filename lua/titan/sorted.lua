--- Tables in a fixed order, so that of two mistakes always the same one is reported.

local sorted = {}

--- The keys of a table, read raw. Numbers come before strings; keys of other types have
--- no order among themselves.
---@param map table
---@return any[]
function sorted.keys(map)
  local keys = {}
  for key in next, map do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    local type_a, type_b = type(a), type(b)
    if type_a ~= type_b then
      return type_a < type_b
    end
    return (type_a == "number" or type_a == "string") and a < b
  end)
  return keys
end

return sorted
