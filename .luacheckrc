std = "lua54"
max_line_length = 100
unused_args = true
self = false -- a method may ignore its self
ignore = { "211/_.*" } -- what is there only to be closed

files["spec"] = { std = "+busted" }
files["lua/types"] = { -- declarations without bodies
  unused = false, max_comment_line_length = 120,
}
