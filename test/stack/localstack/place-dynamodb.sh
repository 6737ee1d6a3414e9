#!/usr/bin/env bash
# Puts DynamoDB Local (Maven) where LocalStack's package manager looks, so that it downloads nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
FILESYSTEM_ROOT=$LS_HOME/fs
d=$FILESYSTEM_ROOT/var/lib/localstack/lib/dynamodb-local/2
[ -f "$d/DynamoDBLocal.jar" ] && exit 0
mkdir -p "$d"; work=$(mktemp -d)
mvn -q -B -ntp -f "$here/ddb-pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$d/DynamoDBLocal_lib"
cd "$d/DynamoDBLocal_lib"; cp libsqlite4java-linux-amd64-*.so libsqlite4java-linux-amd64.so
# LocalStack runs `java -javaagent:ddb-local-loader-0.1.jar -jar DynamoDBLocal.jar`: a thin jar with our own Class-Path
{ echo "Main-Class: com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
  echo 'Class-Path: .'; for j in *.jar; do echo "  DynamoDBLocal_lib/$j"; done; } > "$work/main.mf"
# Its agent, which is not a public package, only lifts the limit of 20 GSIs: use an agent that does nothing
cat > "$work/NoopAgent.java" <<'J'
public final class NoopAgent { public static void premain(String a, java.lang.instrument.Instrumentation i) { } }
J
javac -d "$work/out" "$work/NoopAgent.java"; echo 'Premain-Class: NoopAgent' > "$work/agent.mf"
jar cfm "$d/ddb-local-loader-0.1.jar" "$work/agent.mf" -C "$work/out" .
mkdir "$work/empty"; jar cfm "$d/DynamoDBLocal.jar" "$work/main.mf" -C "$work/empty" .
# The JRE it wants ("21") is only looked up by folder: point it to the installed JDK 17
mkdir -p "$FILESYSTEM_ROOT/var/lib/localstack/lib/java"
ln -sfn "$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")" "$FILESYSTEM_ROOT/var/lib/localstack/lib/java/21"
rm -rf "$work"
