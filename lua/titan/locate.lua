--- Finds the code of a class: what `pm:spawn` is given, as a file that a worker loads.

local class = require "titan.class"
local core = require "titan.core"
local errors = require "titan.errors"
local schema = require "titan.schema"
local text = require "titan.text"

local locate = {}

---@class titan.Target
---@field module? string as require knows it: a worker that has it preloaded loads nothing
---@field file string absolute path
---@field name string what the process is called unless somebody says otherwise
---@field class? titan.Class when it was given as an object

-- The names of the modules where this one was sought, to suggest one.
---@param given string
---@return string[]
local function modules_nearby(given)
  local luv = require "luv"
  local names = {}
  local parent = given:match("^.*%.") or ""
  for template in package.path:gmatch("[^;]+") do
    local directory = template:match("^(.*/)%?%.lua$")
    local scan = directory and luv.fs_scandir(directory .. parent:gsub("%.", "/"))
    while scan do
      local entry = luv.fs_scandir_next(scan)
      if not entry then
        break
      end
      local name = entry:match("^(.+)%.lua$")
      names[#names + 1] = name and parent .. name
    end
  end
  return names
end

---@param given string
---@param tried string
local function refuse(given, tried)
  local nearest = core.suggest(given, modules_nearby(given))
  local hint = nearest and string.format("; did you mean %q?", nearest) or ""
  errors.raise("spawn_failed", string.format("there is no module %q%s\ntried: %s", given, hint,
    tried:gsub("^%s*", ""):gsub("\n%s*", "\n       ")), { details = { class = given } })
end

---@param path string
---@return string
local function base_name(path)
  return (path:match("([^/]+)$"):gsub("%.lua$", ""):gsub("[^%w_.-]", "-"))
end

---@param path string
---@return titan.Target
local function from_path(path)
  local file, why = core.realpath(path)
  if not file then
    errors.raise("spawn_failed", string.format("cannot load the worker file %q: %s", path, why),
      { details = { class = path } })
  end
  return { file = file, name = base_name(file) }
end

---@param name string
---@return titan.Target
local function from_module(name)
  local path, tried = package.searchpath(name, package.path)
  if not path then
    refuse(name, tried)
  end
  local target = from_path(path)
  target.module = name
  target.name = name:match("([^.]+)$"):gsub("[^%w_-]", "-")
  return target
end

---@param given titan.Class
---@return titan.Target
local function from_class(given)
  if not given.source then
    errors.raise("spawn_failed", tostring(given) .. " was not declared in a file: a class that is "
      .. "spawned lives in a module of its own, since its code is loaded where it runs")
  elseif given.source == locate.main_file then
    errors.raise("spawn_failed", tostring(given) .. " is declared in the main script, which a "
      .. "worker cannot load without running it; move it to a file of its own")
  end
  return { file = given.source, name = given.name or base_name(given.source), class = given }
end

--- The main script, as an absolute path: no class may come from there.
---@type string?
locate.main_file = nil

--- Resolves a module name, a file path (with a "/" or ending in ".lua") or a class.
--- Raises `spawn_failed` or `invalid_config`.
---@param given string|titan.Class
---@return titan.Target
function locate.find(given)
  if class.is(given) then
    return from_class(given)
  elseif type(given) ~= "string" or given == "" then
    local why = "expected a class, given " .. text.given(given)
    schema.refuse("class", why, given, "a module name, a file path, or what titan.process returned")
  end
  if given:find("/", 1, true) or given:find("%.lua$") then
    return from_path(given)
  end
  return from_module(given)
end

return locate
