#!/usr/bin/env bash
# Packages of npm, installed once, each set in a folder of its own.
#   npm.sh NAME PACKAGE@VERSION…        installs what is missing; says in which folder they are
set -euo pipefail
name=$1
shift
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rivulet
folder=$cache/$name

for tool in node npm; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: ./run.sh installs it" >&2; exit 1; }
done
mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9 # several may start at once
if [ ! -e "$folder/whole" ]; then
    printf '{"private":true}\n' >"$folder/package.json"
    npm install --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts "$@" >&2
    touch "$folder/whole"
fi
echo "$folder/node_modules"
