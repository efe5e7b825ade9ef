#!/usr/bin/env bash
# Segment's own clients, for the tests of the collector: fetched once, at these versions.
#   clients.sh                          installs what is missing; says in which folder they are
set -euo pipefail
python=segment-analytics-python==2.4.0
node=(@segment/analytics-node@3.1.0 @segment/analytics-next@1.84.3 puppeteer-core@24.9.0)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rivulet/clients-2

say() { printf '%s\n' "$*" >&2; }

for tool in python3 node npm chromium; do
    command -v "$tool" >/dev/null || { say "$tool is missing: ./run.sh test installs it"; exit 1; }
done
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] ||
    { say "Segment's client for Node needs Node 20 or newer, this is $(node --version)"; exit 1; }
mkdir -p "$cache"
exec 8>"$cache/lock"
flock 8 # tests start at once
if [ ! -e "$cache/complete" ]; then
    say "fetching Segment's clients (once)"
    python3 -m venv "$cache/python" >&2
    "$cache/python/bin/pip" install --quiet --disable-pip-version-check "$python" >&2
    printf '{"private":true}\n' >"$cache/package.json"
    npm install --prefix "$cache" --silent --no-audit --no-fund --ignore-scripts "${node[@]}" >&2
    touch "$cache/complete"
fi
printf '%s\n' "$cache"
