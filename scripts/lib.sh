# shellcheck shell=bash
# What the scripts share: where the project is, and how a preset is built. Sourced, not run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Prints the comment at the head of the calling script, then ends it.
usage() {
  sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0"
  exit 0
}

fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# Shows each line read in place of the last one, on a terminal; else nothing.
show_progress() {
  local line
  while IFS= read -r line; do
    [[ -t 2 ]] && printf '\r\033[K%.*s' "${COLUMNS:-79}" "$1: $line" >&2
  done
  [[ -t 2 ]] && printf '\r\033[K' >&2
  return 0
}

# build PRESET [TARGET...]: configures and builds, quiet unless it fails.
build() {
  local preset=$1 dir=$root/build/$1 targets=()
  shift
  (($# == 0)) || targets=(--target "$@")
  mkdir -p "$dir"
  if ! (cd "$root" && cmake --preset "$preset") &>"$dir/build.log" ||
    ! (cd "$root" && cmake --build --preset "$preset" "${targets[@]}") 2>&1 |
    tee "$dir/build.log" | show_progress "$preset"; then
    grep -v '^\[[0-9]*/[0-9]*\]' "$dir/build.log" >&2 || true
    fail "the $preset build failed"
  fi
}

# c_files: the C sources and headers, one path a line, relative to the root.
c_files() {
  (cd "$root" && find core ctest -name '*.[ch]' | sort)
}
