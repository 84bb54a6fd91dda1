---@meta _

--- Shared memory, of a length that stays. Sent to another process it is the same memory there, and
--- it is freed when the last holder has let go. Positions count from 1; a part that is not within
--- the buffer raises `validation_failed`, use after `release` raises `destroyed`.
---@class titan.Buffer
local Buffer = {}

--- A copy of a part, as a string.
---@param pos? integer 1
---@param len? integer to the end
---@return string
function Buffer:read(pos, len) end

--- Puts the bytes of a string, or of another buffer, there.
---@param pos integer
---@param bytes string|titan.Buffer
---@return titan.Buffer self
function Buffer:write(pos, bytes) end

--- One byte.
---@param pos integer
---@return integer byte 0 to 255
function Buffer:byte(pos) end

--- Sets one byte.
---@param pos integer
---@param byte integer 0 to 255
---@return titan.Buffer self
function Buffer:set_byte(pos, byte) end

--- Sets all bytes of a part.
---@param byte? integer 0
---@param pos? integer 1
---@param len? integer to the end
---@return titan.Buffer self
function Buffer:fill(byte, pos, len) end

--- A buffer of a part of the same memory.
---@param pos? integer 1
---@param len? integer to the end
---@return titan.Buffer
function Buffer:slice(pos, len) end

--- Writes what `string.pack` makes.
---@param format string
---@param pos integer
---@param ... any
---@return integer next the position behind it
function Buffer:pack(format, pos, ...) end

--- Reads as `string.unpack` does.
---@param format string
---@param pos? integer 1
---@return any ... the values, then the position behind them
function Buffer:unpack(format, pos) end

--- Always raises `validation_failed`: another process may be reading it.
---@param len integer
function Buffer:resize(len) end

--- Lets go at once, without waiting for the garbage collector. Also what `<close>` does.
function Buffer:release() end
