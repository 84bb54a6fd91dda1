# Reads the output of `ctest -V` over cmocka programs that speak TAP. Prints a line a program, and
# what a failed one wrote; appends a word a test (passed, failed or skipped) to the file `results`.
# A program that ended badly without a failed test counts as one, a silent good one as passed.

function report(what, p, f, s) {
  printf "%-40s %4d passed%s%s\n", what, p, f ? ", " f " failed" : "", s ? ", " s " skipped" : ""
}

function finish(id, end) {
  if (end != "Passed" && !failed[id]) {
    output[id] = output[id] "ended with " end "\n"
    failed[id]++
  }
  if (end == "Passed" && !passed[id] && !skipped[id]) passed[id]++
  for (i = 0; i < passed[id]; i++) print "passed" >>results
  for (i = 0; i < failed[id]; i++) print "failed" >>results
  for (i = 0; i < skipped[id]; i++) print "skipped" >>results
  if (failed[id]) printf "%s", output[id]
  report(name[id], passed[id], failed[id], skipped[id])
}

/^ *Start +[0-9]+: / { sub(/:$/, "", $2); name[$2 + 0] = $3 }

/^[0-9]+: / {
  id = $1 + 0
  text = substr($0, index($0, ": ") + 2)
  if (text ~ /^(Test command|Working Directory|Environment variables|Test timeout|  *TITAN_)/) next
  if (text ~ /^ok [0-9]+/) passed[id]++
  else if (text ~ /^not ok [0-9]+ # SKIP/) skipped[id]++
  else if (text ~ /^not ok [0-9]+/) failed[id]++
  output[id] = output[id] text "\n"
}

match($0, /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: /) {
  id = substr($0, index($0, "#") + 1) + 0
  end = substr($0, RLENGTH + 1)
  sub(/^[^ ]+ \.* */, "", end)
  sub(/ +[0-9.]+ sec.*/, "", end)
  gsub(/\*+(Exception:)? */, " ", end)
  gsub(/^ | $/, "", end)
  finish(id, end)
}
