#!/usr/bin/env bash
# Runs every test: two lanes side by side, each with databases and queues of its own, then alone what measures.
# Lane 0 tells how it goes; what lane 1 told is shown when both are through. Exits 1 when a test failed anywhere.
#
#   suite.sh [PYTEST ARGUMENT]...
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LANES=(
  "tests/api tests/browser tests/catalogue tests/common tests/config tests/contract tests/demo tests/summaries tests/viewer"
  "tests/bench tests/faults tests/modes"
)
ALONE="tests/load"
pytest=(.venv/bin/python -m pytest)

told=$(printf '%s\n' ${LANES[*]} $ALONE | sort)
there=$(find tests -mindepth 2 -name 'test_*.py' | cut -d/ -f1,2 | sort -u)
[ "$told" = "$there" ] || { echo "suite.sh: the lanes name other folders than there are under tests/" >&2; exit 2; }

log=$(mktemp)
failed=0
# shellcheck disable=SC2086 # several folders are several words
VIEWER_TEST_LANE=1 "${pytest[@]}" ${LANES[1]} "$@" >"$log" 2>&1 &
other=$!
trap 'kill "$other" 2>/dev/null; rm -f "$log"' EXIT
# shellcheck disable=SC2086
VIEWER_TEST_LANE=0 "${pytest[@]}" ${LANES[0]} "$@" || failed=1
wait "$other" || failed=1
cat "$log"
# shellcheck disable=SC2086
"${pytest[@]}" $ALONE "$@" || failed=1
exit "$failed"
