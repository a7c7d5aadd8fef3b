#!/usr/bin/env bash
# Installs (once) and starts (if down) what the tests need. Idempotent. As root, or as a user with sudo.
# Each is an instance of its own, on a port of its own, so that nothing an operator has on this machine is touched.
#
#   services.sh [postgres|redis|rabbitmq|cassandra|browser]...   postgres when none is named
#
# Environment: VIEWER_TEST_DIR (/tmp), the folder that holds viewertest-redis, -rabbitmq and -cassandra;
#              VIEWER_TEST_POSTGRES_PORT, VIEWER_TEST_REDIS_PORT, VIEWER_TEST_RABBITMQ_PORT, VIEWER_TEST_CASSANDRA_PORT
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
FOLDER=${VIEWER_TEST_DIR:-/tmp}
# All below 32768: from there up the kernel lends ports to outgoing connections, and one that was lent within the last
# minute cannot be listened on.
PORT=${VIEWER_TEST_POSTGRES_PORT:-15432}
REDIS_PORT=${VIEWER_TEST_REDIS_PORT:-16380}
RABBITMQ_PORT=${VIEWER_TEST_RABBITMQ_PORT:-16672}
CASSANDRA_PORT=${VIEWER_TEST_CASSANDRA_PORT:-19042}
CLUSTER=viewertest$PORT # a cluster keeps the port it was made with
START_SECONDS=120
# What apt installs; deploy/cassandra/ sees to its own.
declare -A PACKAGES=(
  [postgres]=postgresql [redis]=redis-server [rabbitmq]=rabbitmq-server [cassandra]="" [browser]=chromium
)

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }
as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else sudo -n -u postgres "$@"; fi; }
fail() { echo "services: $*" >&2; exit 1; }

install() { # install PACKAGE...: those that are missing, by name
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q "install ok installed" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  echo "installing: ${missing[*]}"
  as_root apt-get -o DPkg::Lock::Timeout=300 update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

wait_for() { # wait_for CHECK LOG: until CHECK succeeds; what LOG says at the end when it does not
  local deadline=$((SECONDS + START_SECONDS))
  until "$1"; do
    if [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 30 "$2" >&2 || true
      fail "$1: not yet after $START_SECONDS s; the end of $2 is above"
    fi
    sleep 0.1
  done
}

postgres() {
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
  echo "postgresql $version on 127.0.0.1:$PORT (stop: pg_ctlcluster --skip-systemctl-redirect $version $CLUSTER stop)"
}

redis_answers() { [ "$(redis-cli -p "$REDIS_PORT" ping 2>/dev/null)" = PONG ]; }

redis() { # every setting is here: with arguments only, redis-server reads no file
  local dir=$FOLDER/viewertest-redis
  mkdir -p "$dir"
  redis_answers || redis-server --port "$REDIS_PORT" --bind 127.0.0.1 --dir "$dir" --save "" --appendonly no \
    --daemonize yes --pidfile "$dir/pid" --logfile "$dir/log" >/dev/null
  wait_for redis_answers "$dir/log"
  echo "redis on 127.0.0.1:$REDIS_PORT (stop: redis-cli -p $REDIS_PORT shutdown)"
}

rabbitmq_answers() { # whether somebody answers AMQP 0-9-1 with a frame of type 1 on channel 0: Connection.Start
  local reply
  reply=$({ exec 3<>"/dev/tcp/127.0.0.1/$RABBITMQ_PORT" && printf 'AMQP\0\0\x09\x01' >&3 &&
    timeout 2 head -c 3 <&3 | od -An -tx1 | tr -d ' \n'; } 2>/dev/null) || return 1
  [ "$reply" = 010000 ]
}

rabbitmq() {
  local dir=$FOLDER/viewertest-rabbitmq
  mkdir -p "$dir"
  rabbitmq_answers || start_rabbitmq "$dir"
  wait_for rabbitmq_answers "$dir/output"
  second_lane "$dir"
  echo "rabbitmq on 127.0.0.1:$RABBITMQ_PORT, user viewer (stop: kill \$(cat $dir/pid))"
}

second_lane() { # second_lane DIR: a virtual host for the tests that run beside others (scripts/suite.sh)
  [ -e "$1/lane1" ] && return 0
  local control=(env HOME="$1" ERL_EPMD_PORT=$((RABBITMQ_PORT / 2 + 1)) RABBITMQ_NODENAME=viewertest@localhost
    /usr/lib/rabbitmq/bin/rabbitmqctl -q)
  "${control[@]}" await_startup --timeout "$START_SECONDS"
  "${control[@]}" add_vhost lane1
  "${control[@]}" set_permissions -p lane1 viewer '.*' '.*' '.*'
  touch "$1/lane1"
}

start_rabbitmq() { # start_rabbitmq DIR: as whoever calls; Debian's wrapper would become the user rabbitmq
  local dir=$1
  cat >"$dir/rabbitmq.conf" <<CONF
listeners.tcp.local = 127.0.0.1:$RABBITMQ_PORT
default_user = viewer
default_pass = viewer
default_permissions.configure = .*
default_permissions.read = .*
default_permissions.write = .*
log.file.level = warning
CONF
  : >"$dir/env.conf"
  echo "[]." >"$dir/enabled_plugins"
  # HOME holds Erlang's cookie. The name server (epmd) and the port between nodes are its own and local too, so that
  # another broker on this machine neither sees nor stops this one. +sbwt none: idle schedulers do not spin.
  env HOME="$dir" ERL_EPMD_PORT=$((RABBITMQ_PORT / 2 + 1)) ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_NODENAME=viewertest@localhost RABBITMQ_DIST_PORT=$((RABBITMQ_PORT / 2)) \
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} +sbwt none" \
    RABBITMQ_CONF_ENV_FILE="$dir/env.conf" RABBITMQ_CONFIG_FILE="$dir/rabbitmq.conf" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins" RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/log" \
    RABBITMQ_PID_FILE="$dir/pid" \
    setsid nohup /usr/lib/rabbitmq/bin/rabbitmq-server </dev/null >"$dir/output" 2>&1 &
}

cassandra() {
  CQL_PORT=$CASSANDRA_PORT STORAGE_PORT=$((CASSANDRA_PORT / 2)) \
    "$ROOT/deploy/cassandra/start.sh" "$FOLDER/viewertest-cassandra"
}

browser() {
  echo "chromium $(chromium --version 2>/dev/null | awk '{print $2}')"
}

start_all() { # start_all SERVICE...: apt first and alone, then everything at once; fails when one of them failed
  local service packages=() failed=()
  declare -A started=()
  for service in "$@"; do
    [ -n "${PACKAGES[$service]+known}" ] || fail "unknown service $service; known: ${!PACKAGES[*]}"
    # shellcheck disable=SC2206 # several packages are several words
    packages+=(${PACKAGES[$service]})
  done
  install "${packages[@]}"
  for service in "$@"; do
    "$service" &
    started[$service]=$!
  done
  for service in "$@"; do
    wait "${started[$service]}" || failed+=("$service")
  done
  [ ${#failed[@]} -eq 0 ] || fail "failed: ${failed[*]}"
}

# One run at a time, or two would start the same service twice. -o: a started service must not keep the lock.
if [ -z "${SERVICES_LOCKED:-}" ]; then
  exec env SERVICES_LOCKED=1 flock -o "$FOLDER/viewertest-$(id -u).lock" "${BASH_SOURCE[0]}" "$@"
fi
start_all "${@:-postgres}"
