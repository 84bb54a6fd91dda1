std = "lua54"
max_line_length = 100
unused_args = true
self = false -- a method may ignore its self

files["spec"] = { std = "+busted" }
