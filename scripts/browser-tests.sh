#!/usr/bin/env bash
# The user interface in a real browser: playwright-core drives the machine's
# Chromium, which is installed where that is possible.
set -euo pipefail
cd "$(dirname "$0")/.."

find_chromium() {
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome-stable google-chrome; do
    if [ -n "$name" ] && command -v "$name"; then return 0; fi
  done
  return 1
}

if ! CHROMIUM=$(find_chromium); then
  if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
    echo "installing chromium"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null || true
  fi
  if ! CHROMIUM=$(find_chromium); then
    echo "UI browser tests SKIPPED: no Chromium here; install it, or set CHROMIUM to its path"
    exit 0
  fi
fi
export CHROMIUM
npm --prefix ui run e2e
