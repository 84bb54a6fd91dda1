--- Hears what this program says on its stderr by way of `io.stderr`.

---@param fn fun()
---@return string said
return function(fn)
  local real, said = io.stderr, {}
  io.stderr = { -- luacheck: ignore 122
    write = function(_, ...)
      for _, text in ipairs { ... } do
        said[#said + 1] = tostring(text)
      end
    end,
  }
  local ok, err = pcall(fn)
  io.stderr = real -- luacheck: ignore 122
  if not ok then
    error(err, 0)
  end
  return table.concat(said)
end
