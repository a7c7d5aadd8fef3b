#!/usr/bin/env bash
# nodetool for a node that start.sh started with JMX_PORT:   JMX_PORT=7199 nodetool.sh status
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
java_home=$(find_java17) || { echo "no Java 17; start.sh installs it" >&2; exit 1; }
mapfile -t doors < <(grep '^--add' "$here/jvm17.options")
home=$(mktemp -d) # it keeps a history of commands
trap 'rm -rf "$home"' EXIT
"$java_home/bin/java" -Xmx128m "${doors[@]}" -Duser.home="$home" -Dcassandra.storagedir="$home" \
  -Dlogback.configurationFile="file://$here/logback.xml" -cp "$lib/*" \
  org.apache.cassandra.tools.NodeTool -h 127.0.0.1 -p "${JMX_PORT:-7199}" "$@"
