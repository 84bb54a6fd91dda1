-- Takes the names of local variables out of compiled Lua 5.4, and leaves all else as it is. They
-- are half of the strings that a state would have to make, and keep, for each module it loads.
--
-- The format is that of ldump.c: after a header a function, which has its constants, its inner
-- functions, and what debugging needs, in that order. `string.dump(fn, true)` would take the line
-- numbers as well.

local HEADER <const> = "<c4BBc6BBBi8n" -- lundump.h: signature ... LUAC_INT, LUAC_NUM
local INSTRUCTION_LEN <const>, UPVALUE_LEN <const> = 4, 3
-- lobject.h: the variants of constants that have something behind their type.
local FLOAT <const>, INTEGER <const>, SHORT <const>, LONG <const> = 0x13, 0x03, 0x04, 0x14

---@param code string
---@return string
return function(code)
  local at = HEADER:packsize() + 1
  local from, parts = 1, {} -- what is not yet in the parts begins there

  -- Seven bits a byte, the highest first; the last one has the eighth set.
  local function number()
    local value = 0
    repeat
      local byte = code:byte(at)
      value, at = value << 7 | byte & 0x7f, at + 1
    until byte & 0x80 ~= 0
    return value
  end

  -- So many things of this length.
  local function skip(count, len)
    at = at + count * len
  end

  local function skip_string()
    skip(math.max(0, number() - 1), 1) -- a length of 0 is no string at all
  end

  local function skip_constant()
    local kind = code:byte(at)
    skip(1, 1)
    if kind == FLOAT or kind == INTEGER then
      skip(1, 8)
    elseif kind == SHORT or kind == LONG then
      skip_string()
    end
  end

  local function drop_variables()
    local count_at = at
    for _ = 1, number() do
      skip_string()
      number()
      number()
    end
    parts[#parts + 1] = code:sub(from, count_at - 1) .. "\x80" -- none
    from = at
  end

  local function pass_function()
    skip_string()
    number()
    number()
    skip(3, 1) -- parameters, whether there are more, registers
    skip(number(), INSTRUCTION_LEN)
    for _ = 1, number() do
      skip_constant()
    end
    skip(number(), UPVALUE_LEN)
    for _ = 1, number() do
      pass_function()
    end
    skip(number(), 1) -- a byte an instruction: its line
    for _ = 1, number() do
      number()
      number()
    end
    drop_variables()
    for _ = 1, number() do
      skip_string()
    end
  end

  skip(1, 1) -- the upvalues of the main function
  pass_function()
  assert(at == #code + 1, "not the bytecode of this Lua")
  return table.concat(parts) .. code:sub(from)
end
