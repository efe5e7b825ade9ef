#!/usr/bin/env bash
# A package from PyPI that tests use: PACKAGE VERSION. Installed once, in a folder of its own. Says
# where its programs are, the Python that knows it among them.
set -euo pipefail
package=$1 version=$2
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rivulet
folder=$cache/$package-$version
mkdir -p "$cache"
exec 9>"$cache/$package.lock"
flock 9
if [ ! -e "$folder/whole" ]; then
    command -v python3 >/dev/null || { echo "please install python3 and python3-venv" >&2; exit 1; }
    rm -rf "$folder"
    python3 -m venv "$folder" >&2
    "$folder/bin/pip" install --quiet --disable-pip-version-check "$package==$version" >&2
    touch "$folder/whole"
fi
echo "$folder/bin"
