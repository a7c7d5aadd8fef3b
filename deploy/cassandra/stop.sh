#!/usr/bin/env bash
# Stops the node that start.sh started on this folder, and no other process; its data stays.
#
#   stop.sh [DATA]   default as in start.sh, of the node on CQL_PORT (9042)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
data=${1:-$default_data}
[ -d "$data" ] && data=$(cd "$data" && pwd)
if ! pid=$(node_pid "$data"); then
  echo "cassandra: no node runs on $data"
  exit 0
fi
kill "$pid"
for _ in $(seq 120); do
  kill -0 "$pid" 2>/dev/null || { rm -f "$data/pid"; echo "cassandra: stopped pid $pid"; exit 0; }
  sleep 0.25
done
echo "cassandra: pid $pid did not stop in 30 s" >&2
exit 1
