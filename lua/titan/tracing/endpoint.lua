--- Where spans are posted: an http URL taken apart.

local text = require "titan.text"

local endpoint = {}

---@class titan.Endpoint
---@field host string a name or an address, without the brackets of IPv6
---@field port integer
---@field authority string host and port as the URL says them
---@field path string with its query

-- What may not stand in the first line of a request.
local UNFIT <const> = "[%c \x7f-\xff]"

---@param authority string
---@return string? host
---@return string? port
local function split(authority)
  local host, port = authority:match "^%[([%x:.]+)%]:?(%d*)$"
  if not host then
    host, port = authority:match "^([^:%[%]]+):?(%d*)$"
  end
  return host, port
end

--- Takes a URL apart.
---@param url string
---@return titan.Endpoint?
---@return string? why not
function endpoint.parse(url)
  local scheme, rest = url:match "^(%a[%w+.-]*)://(.*)$"
  if scheme and scheme:lower() == "https" then
    return nil, text.not_built "an https endpoint" .. "; post to http, to a collector on this host"
  elseif not scheme or scheme:lower() ~= "http" then
    return nil, string.format("%s is not an http:// URL", text.quoted(url))
  elseif url:find(UNFIT) then
    return nil, string.format("%s has characters that a URL cannot have", text.quoted(url))
  end
  local authority, path = rest:match "^([^/?#]*)([^#]*)"
  if authority:find("@", 1, true) then
    return nil, "a URL with a user or a password is not taken; use headers"
  end
  local host, port = split(authority)
  local number = port == "" and 80 or math.tointeger(tonumber(port))
  if not host or not number or number < 1 or number > 65535 then
    return nil, string.format("%s has no usable host and port", text.quoted(url))
  end
  return {
    host = host, port = number, authority = authority,
    path = path:find "^/" and path or "/" .. path,
  }
end

return endpoint
