--- Runs programs of their own: for what ends a program, or is printed by one.

local program = {}

---@param path string
---@return string content
local function taken(path)
  local file <close> = assert(io.open(path, "rb"))
  local content = file:read "a"
  os.remove(path)
  return content
end

---@param text string
---@return string
local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Runs a command of the shell to its end.
---@param command string
---@return { code: integer, stdout: string, stderr: string } code 128 and up: by a signal
function program.shell(command)
  local stdout, stderr = os.tmpname(), os.tmpname()
  local _, how, code = os.execute(string.format("{ %s\n} >%s 2>%s </dev/null", command,
    quoted(stdout), quoted(stderr)))
  return {
    code = how == "signal" and 128 + code or code, stdout = taken(stdout), stderr = taken(stderr),
  }
end

--- Writes a file that is gone when the variable it is assigned to goes out of scope, as in
--- `local file <close> = program.file "return 5"`.
---@param content string
---@return { path: string }
function program.file(content)
  local path = os.tmpname()
  os.remove(path)
  path = path .. ".lua"
  local file = assert(io.open(path, "w"))
  file:write(content)
  file:close()
  return setmetatable({ path = path }, {
    __close = function()
      os.remove(path)
    end,
  })
end

local PREAMBLE <const> = 'local titan = require "titan"; '
  .. 'local pm = titan.manager { logs = { format = "none" } }\n'

--- `titan run` with this script; `titan`, and a quiet manager `pm`, are there already.
---@param source string
---@return { code: integer, stdout: string, stderr: string }
function program.run(source)
  local file <close> = program.file(PREAMBLE .. source)
  return program.shell(quoted(os.getenv "TITAN_BUILD" .. "/titan") .. " run " .. quoted(file.path))
end

--- The same, by a stock Lua and titan.run.
---@param source string
---@return { code: integer, stdout: string, stderr: string }
function program.lua(source)
  local file <close> = program.file('require("titan").run(function()\n' .. PREAMBLE .. source
    .. "\nend)")
  return program.shell(os.getenv "TITAN_LUA" .. " " .. quoted(file.path))
end

return program
