-- Finds the text files of this repository.
local luv = require "luv"

local files = {}

local FOLDERS <const> = { "core", "lua", "examples", "scripts", "spec", "ctest" }
local IS_TEXT <const> = { md = true, c = true, h = true, lua = true }

local function walk(folder, found)
  local scan = luv.fs_scandir(folder)
  while scan do
    local name, kind = luv.fs_scandir_next(scan)
    if not name then
      break
    elseif kind == "directory" then
      walk(folder .. "/" .. name, found)
    elseif IS_TEXT[name:match "%.(%w+)$"] then
      found[#found + 1] = folder .. "/" .. name
    end
  end
  return found
end

function files.of_this_repository()
  local root = arg[0]:match "^(.*)/" or "."
  root = root .. "/../.."
  local found = {}
  for _, folder in ipairs(FOLDERS) do
    walk(root .. "/" .. folder, found)
  end
  table.sort(found)
  return found
end

return files
