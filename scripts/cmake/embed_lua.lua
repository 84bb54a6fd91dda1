-- Writes a C file that holds Lua modules, compiled, under their names: ROOT/titan/init.lua is
-- "titan", ROOT/titan/a/b.lua is "titan.a.b". The declarations are in core/script/embedded.h.
--
-- usage: lua5.4 embed_lua.lua OUTPUT ROOT FILE...
--
-- Run by the Lua that titan is linked with, whose bytecode it is: another version refuses to load
-- it, by its header. Line numbers and the names of functions are kept, for tracebacks; the names of
-- local variables are not (nameless.lua).

local nameless = dofile((arg[0]:gsub("[^/]*$", "nameless.lua")))

local output, root = arg[1], arg[2]

---@param path string
---@return string
local function module_name(path)
  local name = path:sub(#root + 2):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
  return name
end

---@param path string
---@param name string
---@return string
local function compiled(path, name)
  local file <close> = assert(io.open(path, "rb"))
  return nameless(string.dump(assert(load(file:read "a", "=" .. name, "t"))))
end

-- "0x6c,0x6f," at most 16 a line.
---@param bytes string
---@return string
local function as_c(bytes)
  local lines = {}
  for at = 1, #bytes, 16 do
    lines[#lines + 1] = bytes:sub(at, at + 15):gsub(".", function(byte)
      return string.format("0x%02x,", byte:byte())
    end)
  end
  return table.concat(lines, "\n    ")
end

local modules = {}
for i = 3, #arg do
  local name = module_name(arg[i])
  modules[#modules + 1] = { name = name, bytes = compiled(arg[i], name) }
end
table.sort(modules, function(a, b) -- as strcmp does, by which they are found
  return a.name < b.name
end)

local arrays, rows = {}, {}
for i, module in ipairs(modules) do
  arrays[i] = string.format("static const unsigned char code_%d[] = {\n    %s\n};\n", i,
    as_c(module.bytes))
  rows[i] = string.format('    {"%s", code_%d, sizeof code_%d},\n', module.name, i, i)
end

local file <close> = assert(io.open(output, "w"))
assert(file:write(string.format([[
/* Generated from lua/ by scripts/cmake/embed_lua.lua. */
#include <string.h>

#include "script/embedded.h"

%s
static const struct embedded_module modules[] = {
%s};

const struct embedded_module *embedded_find(const char *name)
{
    size_t from = 0, to = sizeof modules / sizeof modules[0];

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = strcmp(name, modules[middle].name);

        if (order == 0) {
            return &modules[middle];
        }
        if (order < 0) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    return 0;
}
]], table.concat(arrays, "\n"), table.concat(rows))))
