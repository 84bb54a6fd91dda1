--- Does not come to life.

io.stderr:write "no lamp was lit\n"
error "stillborn"
