--- What one of Lua's own libraries has here: a line for each name, with its type.
---@param library string
---@return string
return function(library)
  local names = {}
  for name, value in pairs(_G[library]) do
    names[#names + 1] = name .. " " .. type(value)
  end
  table.sort(names)
  return table.concat(names, "\n")
end
