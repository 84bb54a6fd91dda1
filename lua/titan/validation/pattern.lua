--- Whether a Lua pattern is one. Lua itself finds out only where a string makes it read so far,
--- which may be in the call of a method and not where the schema is written.
--
-- The grammar is that of the manual, 6.4.1.

-- Where the class that begins at `at` ends: after one character, an escape or a set.
---@param pattern string
---@param at integer
---@return integer? after
---@return string? why
local function class_end(pattern, at)
  local first = pattern:sub(at, at)
  if first == "%" then
    if at == #pattern then
      return nil, "it ends with %"
    end
    return at + 2
  elseif first ~= "[" then
    return at + 1
  end
  at = at + (pattern:sub(at + 1, at + 1) == "^" and 2 or 1)
  repeat -- a "]" that comes first is one of the set
    if at > #pattern then
      return nil, "a [ is not closed"
    end
    at = at + (pattern:sub(at, at) == "%" and 2 or 1)
  until pattern:sub(at, at) == "]"
  return at + 1
end

-- What a "%" with a meaning of its own needs.
---@param pattern string
---@param at integer
---@param captures integer[] whether each is closed
---@return integer? after nil when it is an escape like others
---@return string? why
local function special_end(pattern, at, captures)
  local letter = pattern:sub(at + 1, at + 1)
  if letter == "b" then
    return at + 4, at + 3 > #pattern and "%b needs two characters" or nil
  elseif letter == "f" then
    return at + 2, pattern:sub(at + 2, at + 2) ~= "[" and "%f needs a [ behind it" or nil
  elseif letter:find "%d" then
    return at + 2, captures[tonumber(letter)] ~= true and "there is no such capture as %" .. letter
      or nil
  end
end

-- Closes the last capture that is open.
---@param captures boolean[]
---@return boolean
local function close(captures)
  for index = #captures, 1, -1 do
    if not captures[index] then
      captures[index] = true
      return true
    end
  end
  return false
end

--- What is wrong with a pattern, or nil.
---@param pattern string
---@return string? why
return function(pattern)
  local captures, at = {}, pattern:sub(1, 1) == "^" and 2 or 1
  while at <= #pattern do
    local character, after, why = pattern:sub(at, at), nil, nil
    if character == "(" then
      captures[#captures + 1], after = false, at + 1
      why = #captures > 32 and "it has too many captures" or nil
    elseif character == ")" then
      after, why = at + 1, not close(captures) and "a ) closes nothing" or nil
    elseif character == "%" then
      after, why = special_end(pattern, at, captures)
    end
    if not after then
      after, why = class_end(pattern, at)
    end
    if why then
      return why
    end
    at = after
  end
  return close(captures) and "a ( is not closed" or nil
end
