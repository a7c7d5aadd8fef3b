#!/usr/bin/env bash
# Installs (once) and starts (if down) what the tests need. Idempotent. As root, or as a user with sudo.
# PostgreSQL runs as a cluster of its own, so that nothing an operator has on this machine is touched.
set -euo pipefail

PORT=${VIEWER_TEST_POSTGRES_PORT:-55432}
CLUSTER=viewertest
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else sudo -n -u postgres "$@"; fi; }

install() { # install PACKAGE...: those that are missing, by name
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "installing: ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

postgres() {
  install postgresql
  local version
  version=$(ls /usr/lib/postgresql | sort -V | tail -n 1)
  if ! pg_lsclusters -h | awk '{print $1 "/" $2}' | grep -qx "$version/$CLUSTER"; then
    as_root pg_createcluster "$version" "$CLUSTER" -p "$PORT" >/dev/null
  fi
  if ! pg_lsclusters -h | awk -v c="$CLUSTER" '$2 == c {print $4}' | grep -q online; then
    as_root pg_ctlcluster --skip-systemctl-redirect "$version" "$CLUSTER" start
  fi
  for _ in $(seq 100); do as_postgres psql -qtAX -p "$PORT" -c 'select 1' >/dev/null 2>&1 && break; sleep 0.1; done
  as_postgres psql -qtAX -p "$PORT" >/dev/null <<SQL
DO \$\$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'viewer') THEN
    CREATE ROLE viewer LOGIN CREATEDB PASSWORD 'viewer';
  END IF;
END \$\$;
SELECT 'CREATE DATABASE viewer OWNER viewer' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'viewer') \gexec
SQL
  echo "postgresql $version on 127.0.0.1:$PORT"
}

browser() {
  install chromium
  echo "chromium $(chromium --version 2>/dev/null | awk '{print $2}')"
}

for service in "${@:-postgres}"; do "$service"; done
