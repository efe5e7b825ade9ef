#!/usr/bin/env bash
# What reads the files of exports in tests: DuckDB, and pandas with pyarrow, fetched once, at these
# versions.
#   tables.sh                           installs what is missing; says where their Python is
set -euo pipefail
packages=(duckdb==1.4.2 pandas==2.3.3 pyarrow==22.0.0)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rivulet/tables-1

say() { printf '%s\n' "$*" >&2; }

command -v python3 >/dev/null || { say "python3 is missing: ./run.sh test installs it"; exit 1; }
mkdir -p "$cache"
exec 8>"$cache/lock"
flock 8 # tests start at once
if [ ! -e "$cache/complete" ]; then
    say "fetching DuckDB and pandas (once)"
    python3 -m venv "$cache/python" >&2
    "$cache/python/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}" >&2
    touch "$cache/complete"
fi
printf '%s\n' "$cache/python/bin/python"
