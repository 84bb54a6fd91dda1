--- Globals for a class that may `require` only what `security.allowed_modules` names.
--
-- The class and the Lua modules that it loads get globals of their own, so that Titan's code keeps
-- Lua's. What is different there:
--
--  - require knows titan, Lua's own libraries and what was named, and looks for it where the
--    worker was told to at its start: `package.path` and `package.cpath` are copies.
--    `package.loaded` has only what was loaded that way; loadlib, preload and the searchers are not
--    there.
--  - debug has traceback and a getinfo without `func`: everything else leads to the upvalues and
--    locals of others, or to the registry.
--  - load, loadfile and dofile take text alone, since Lua does not check bytecode, and what they
--    load sees these globals.
--  - titan is without the parts for managers, and luv without what makes further Lua states.
--
-- The libraries are copies, so that nothing that the class puts into them is called by Titan. What
-- this cannot stop is a C module that was allowed, which can do all that the process can.

local core = require "titan.core"
local errors = require "titan.errors"

local modules = {}

-- Everything that decides is held here: a class may change what it can reach.
local find, format, gsub, match, sub = string.find, string.format, string.gsub, string.match,
  string.sub
local getinfo, getmetatable, load, loadfile, loadlib, next, rawget, searchpath, select, type =
  debug.getinfo, getmetatable, load, loadfile, package.loadlib, next, rawget, package.searchpath,
  select, type
local error = error
local embedded_loader = core.embedded_loader

---@param t table
---@return table
local function copy(t)
  local copied = {}
  for key, value in next, t do
    copied[key] = value
  end
  return copied
end

-- In their states Lua is as it always is.
---@param luv table
---@return table
local function without_states(luv)
  local view = copy(luv)
  view.new_thread, view.new_work, view.queue_work = nil, nil, nil
  return view
end

-- Looking for modules -------------------------------------------------------------------

---@param allowed string[]
---@return fun(name: string): boolean
local function matcher(allowed)
  local names, beginnings = {}, {}
  for _, name in next, allowed do
    if sub(name, -2) == ".*" then
      beginnings[#beginnings + 1] = sub(name, 1, -2) -- with its dot
    else
      names[name] = true
    end
  end
  return function(name)
    if names[name] then
      return true
    end
    for _, beginning in next, beginnings do
      if sub(name, 1, #beginning) == beginning then
        return true
      end
    end
    return false
  end
end

---@param name string
---@return string symbol of a C module, as Lua's own searcher makes it
local function symbol(name)
  return "luaopen_" .. gsub(gsub(name, "^[^-]*%-", ""), "%.", "_")
end

---@param name string
---@param cpath string
---@return function? loader
---@return string file, or why there is none
local function c_loader(name, cpath)
  local file, why = searchpath(name, cpath)
  local root = not file and match(name, "^([^.]+)%.")
  if root then
    file = searchpath(root, cpath) -- one library with its parts in it
  end
  if not file then
    return nil, why
  end
  local loader, failed = loadlib(file, (symbol(name)))
  if not loader then
    if root then
      return nil, why
    end
    error(format("error loading module '%s' from file '%s':\n\t%s", name, file, failed), 0)
  end
  return loader, file
end

---@class titan.worker.Loading
---@field path string
---@field cpath string
---@field preload table Lua's own
---@field globals table

---@param loading titan.worker.Loading
---@param name string
---@return function loader
---@return string extra what it gets besides the name
local function find_loader(loading, name)
  local opener = loading.preload[name] or embedded_loader(name)
  if opener then
    return opener, ":preload:"
  end
  local file, why = searchpath(name, loading.path)
  if file then
    local chunk, failed = loadfile(file, "t", loading.globals)
    if not chunk then
      error(format("error loading module '%s' from file '%s':\n\t%s", name, file, failed), 0)
    end
    return chunk, file
  end
  local loader, extra = c_loader(name, loading.cpath)
  if not loader then
    error(format("module '%s' not found:\n\t%s\n\t%s", name, why, extra), 0)
  end
  return loader, extra
end

---@param loading titan.worker.Loading
---@param visible table what package.loaded is to the class
---@param loaded table Lua's own
---@param is_allowed fun(name: string): boolean
---@param class string
---@return fun(name: string): any, string?
local function guarded_require(loading, visible, loaded, is_allowed, class)
  return function(name)
    if type(name) ~= "string" then
      error(format("bad argument #1 to 'require' (string expected, got %s)", type(name)), 2)
    end
    local value = rawget(visible, name)
    if value ~= nil then
      return value
    elseif not is_allowed(name) then
      error(errors.new("unauthorized", format('module "%s" may not be loaded by the class %s: '
        .. "security.allowed_modules does not name it", name, class)), 0)
    elseif loaded[name] ~= nil then
      visible[name] = name == "luv" and without_states(loaded[name]) or loaded[name]
      return visible[name]
    end
    local loader, extra = find_loader(loading, name)
    value = loader(name, extra)
    if name == "luv" then
      loaded[name], value = value, without_states(value)
    end
    if value ~= nil then
      visible[name] = value
    elseif rawget(visible, name) == nil then
      visible[name] = true
    end
    return rawget(visible, name), extra
  end
end

-- Lua's own functions, with less in them -------------------------------------------------

---@param globals table
---@param require fun(name: string)
---@param loading titan.worker.Loading
---@param visible table
local function set_package(globals, require, loading, visible)
  globals.require = require
  globals.package = {
    path = loading.path, cpath = loading.cpath, config = package.config, searchpath = searchpath,
    loaded = visible,
  }
end

local function set_debug(globals)
  globals.debug = {
    traceback = debug.traceback,
    getinfo = function(...)
      local first, what = ...
      local info
      if type(first) == "thread" then
        local _, level, of_thread = ...
        info = getinfo(first, level, of_thread or "Slnrtu")
      else
        -- one level more: this function
        info = getinfo(type(first) == "number" and first + 1 or first, what or "Slnrtu")
      end
      if info then
        info.func = nil
      end
      return info
    end,
  }
end

local function set_load(globals)
  -- An environment that is given counts even when it is nil.
  globals.load = function(chunk, name, mode, ...)
    if mode ~= nil and not find(mode, "t", 1, true) then
      return nil, "bytecode may not be loaded (security.allowed_modules)"
    end
    local env = globals
    if select("#", ...) > 0 then
      env = ...
    end
    return load(chunk, name, "t", env)
  end
  globals.loadfile = function(file, mode, ...)
    if mode ~= nil and not find(mode, "t", 1, true) then
      return nil, "bytecode may not be loaded (security.allowed_modules)"
    end
    local env = globals
    if select("#", ...) > 0 then
      env = ...
    end
    return loadfile(file, "t", env)
  end
  globals.dofile = function(file)
    local chunk, why = loadfile(file, "t", globals)
    if not chunk then
      error(why, 0)
    end
    return chunk()
  end
end

-- What is not for workers.
local OF_MANAGERS <const> = {
  manager = true, run = true, for_root = true, for_root_async = true, tokens = true, testing = true,
}

---@param titan table
---@return table
local function for_workers(titan)
  local view = {}
  for name in next, require "titan.fields" do
    view[name] = not OF_MANAGERS[name] and titan[name] or nil
  end
  return view
end

local LIBRARIES <const> = { "coroutine", "io", "math", "os", "string", "table", "utf8" }

---@param allowed string[]
---@param spec { class_name: string?, module: string?, file: string }
---@return table globals
function modules.globals(allowed, spec)
  local globals, visible = copy(_G), {}
  local loading = {
    path = package.path, cpath = package.cpath, preload = package.preload, globals = globals,
  }
  local class = spec.class_name or spec.module or spec.file
  globals._G = globals
  for _, name in next, LIBRARIES do
    globals[name] = copy(_G[name])
  end
  set_package(globals, guarded_require(loading, visible, package.loaded, matcher(allowed), class),
    loading, visible)
  set_debug(globals)
  set_load(globals)
  visible.titan = for_workers(package.loaded.titan)
  for _, name in next, { "_G", "debug", "package", table.unpack(LIBRARIES) } do
    visible[name] = globals[name]
  end
  getmetatable("").__metatable = "the methods of strings"
  return globals
end

return modules
