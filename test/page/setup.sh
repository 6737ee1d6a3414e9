#!/usr/bin/env bash
# Installs Debian's chromium for the tests of pages, if there is none. Where it cannot be installed, those tests are skipped by name.
set -uo pipefail
[[ -n "${CHROMIUM:-}" ]] || command -v chromium chromium-browser google-chrome google-chrome-stable chrome > /dev/null && exit
[[ $(id -u) = 0 ]] && command -v apt-get > /dev/null || { echo 'there is no chromium, and no way to install it: the tests of pages are skipped'; exit 0; }
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium > /dev/null || echo 'chromium could not be installed: the tests of pages are skipped'
