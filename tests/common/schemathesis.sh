#!/usr/bin/env bash
# Schemathesis from PyPI, which holds an OpenAPI document against a running server: installed once,
# in a folder of its own. Says where its program is.
set -euo pipefail
version=4.32.5
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rivulet
folder=$cache/schemathesis-$version
mkdir -p "$cache"
exec 9>"$cache/schemathesis.lock"
flock 9
if [ ! -e "$folder/whole" ]; then
    command -v python3 >/dev/null || { echo "please install python3 and python3-venv" >&2; exit 1; }
    rm -rf "$folder"
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version" >&2
    touch "$folder/whole"
fi
echo "$folder/bin/schemathesis"
