# Writes OUTPUT, a C file that holds every Lua file of SOURCES as bytes under its
# module name: ROOT/titan/init.lua is "titan", ROOT/titan/a/b.lua is "titan.a.b".
# The declarations are in core/script/embedded.h.

# A module's name from its path below ROOT.
function(module_name path result)
  file(RELATIVE_PATH name ${ROOT} ${path})
  string(REGEX REPLACE "\\.lua$" "" name ${name})
  string(REGEX REPLACE "/init$" "" name ${name})
  string(REPLACE "/" "." name ${name})
  set(${result} ${name} PARENT_SCOPE)
endfunction()

# The bytes of a file as "0x6c,0x6f,", at most 16 a line.
function(file_bytes path result)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  set(five "0x..,0x..,0x..,0x..,0x..,")
  string(REGEX REPLACE "(${five}${five}${five}0x..,)" "\\1\n    " bytes "${bytes}")
  set(${result} "${bytes}" PARENT_SCOPE)
endfunction()

set(arrays "")
set(table "")
set(index 0)
foreach(path IN LISTS SOURCES)
  module_name(${path} name)
  file_bytes(${path} bytes)
  # The closing zero keeps the array of an empty file legal; it is not counted in `len`.
  string(APPEND arrays "static const unsigned char source_${index}[] = {\n    ${bytes}0};\n\n")
  string(APPEND table "    {\"${name}\", source_${index}, sizeof(source_${index}) - 1},\n")
  math(EXPR index "${index} + 1")
endforeach()

file(WRITE ${OUTPUT}
"/* Generated from lua/ by scripts/cmake/embed_lua.cmake. */
#include \"script/embedded.h\"

${arrays}const struct embedded_module embedded_modules[] = {
${table}    {0, 0, 0},
};
const size_t embedded_module_count = ${index};
")
