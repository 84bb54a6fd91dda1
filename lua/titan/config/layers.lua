--- Options that go over others, key by key: those of a spawn over those of its class, over those of
--- the manager.

local layers = {}

--- The same keys, none of which has to be there.
---@param fields table<string, titan.Schema>
---@return table<string, titan.Schema>
function layers.partial(fields)
  local copies = {}
  for name, field in pairs(fields) do
    local copy = layers.over(field)
    copy.default = nil
    copies[name] = copy
  end
  return copies
end

--- A copy of what is below with what is above put over it; tables inside are merged likewise.
---@param below table
---@param above? table
---@return table
function layers.over(below, above)
  local merged = {}
  for key, value in pairs(below) do
    merged[key] = value
  end
  for key, value in pairs(above or {}) do
    merged[key] = type(value) == "table" and layers.over(below[key] or {}, value) or value
  end
  return merged
end

--- Each of the layers, which may be nil, over the ones before it.
---@param base table
---@param ... table?
---@return table
function layers.merged(base, ...)
  local merged = base
  for i = 1, select("#", ...) do
    merged = layers.over(merged, (select(i, ...)))
  end
  return merged
end

return layers
