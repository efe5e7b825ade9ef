#!/usr/bin/env bash
# What drives a browser in the tests of the console, from npm: Playwright, and axe for
# accessibility. Installed once, in a folder of its own. Says in which folder the packages are.
set -euo pipefail
packages=(playwright-core@1.65.1 @axe-core/playwright@4.13.0)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rivulet
folder=$cache/browser-1

for tool in node npm chromium; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: ./run.sh test installs it" >&2; exit 1; }
done
mkdir -p "$folder"
exec 9>"$cache/browser.lock"
flock 9 # tests start at once
if [ ! -e "$folder/whole" ]; then
    printf '{"private":true}\n' >"$folder/package.json"
    npm install --prefix "$folder" --silent --no-audit --no-fund --ignore-scripts "${packages[@]}" >&2
    touch "$folder/whole"
fi
echo "$folder/node_modules"
