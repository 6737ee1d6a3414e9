#!/usr/bin/env bash
# Installs what the test of the image needs if no Docker engine answers: Debian's Docker, and debootstrap. Run it only where you may install packages.
set -euo pipefail
docker version > /dev/null 2>&1 && exit 0
if command -v dockerd > /dev/null && command -v debootstrap > /dev/null; then exit 0; fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo 'docker.io and debootstrap are not there, and can be installed only by root, with apt-get'
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq docker.io debootstrap
