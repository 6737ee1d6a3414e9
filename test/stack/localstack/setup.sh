#!/usr/bin/env bash
# Installs LocalStack 4.13.1 into $LS_HOME from package registries alone, without Docker or a token. Needs Python 3.11, Java 17, Maven and npm, or newer.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
step() { local t0=$SECONDS; echo "== $1"; shift; "$@"; echo "   $((SECONDS - t0)) s"; }
localstack() {
  [ -x "$LS_HOME/venv/bin/python" ] || python3 -m venv "$LS_HOME/venv"
  "$LS_HOME/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.lock"
  # 4.11 to 4.14 evaluate the annotation `threading.Lock | None`. Python before 3.13 refuses it, since Lock is a function there.
  sed -i 's/install_lock: Lock | None = None/install_lock: "Lock | None" = None/' "$LS_HOME"/venv/lib/python3*/site-packages/localstack/packages/api.py
}
functions() {  # AWS's own runtime client for Node, and the plugin that starts it as a child process
  mkdir -p "$LS_HOME/lambda-runtime"
  cd "$LS_HOME/lambda-runtime"
  [ -f package.json ] || echo '{"private":true}' > package.json
  npm install --silent --no-audit --no-fund --ignore-scripts --save-exact aws-lambda-ric@4.0.2
  rm -rf node_modules/aws-lambda-ric/rapid-client.node
  cp -r "$here/lambda-executor/rapid-client.node" node_modules/aws-lambda-ric/
  cp -r "$here/lambda-executor" "$LS_HOME/" # pip builds in the folder that it is given
  "$LS_HOME/venv/bin/pip" install -q --disable-pip-version-check "$LS_HOME/lambda-executor"
}
step "LocalStack (PyPI)" localstack
step "DynamoDB Local (Maven)" "$here/place-dynamodb.sh"
step "the runtime of functions (npm)" functions
