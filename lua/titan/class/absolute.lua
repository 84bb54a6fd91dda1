--- The absolute path of a file that Lua was given a relative one of.

---@param path string
---@return string? content
local function content_of(path)
  local file = io.open(path, "rb")
  if not file then
    return nil
  end
  local content = file:read("a")
  file:close()
  return content
end

-- Lua cannot ask for its working directory. $PWD is nearly always that, but survives a
-- chdir of a program that is no shell; so what it leads to must be the very same text.
---@param path string
---@return string? absolute
return function(path)
  local directory = os.getenv("PWD")
  if not directory or not directory:find("^/") then
    return nil
  end
  local candidate = directory:gsub("/+$", "") .. "/" .. path:gsub("^%./+", "")
  local content = content_of(path)
  return content and content == content_of(candidate) and candidate or nil
end
