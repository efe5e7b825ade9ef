#!/usr/bin/env bash
# What drives a browser in the tests of pages, from npm: Playwright, and axe for accessibility.
# Says in which folder they are.
set -euo pipefail
command -v chromium >/dev/null || { echo "chromium is missing: ./run.sh test installs it" >&2; exit 1; }
exec "$(dirname "$0")/npm.sh" browser-1 playwright-core@1.65.1 @axe-core/playwright@4.13.0
