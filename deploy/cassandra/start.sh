#!/usr/bin/env bash
# Starts one Apache Cassandra node on loopback and returns when it answers CQL. Run again, it changes nothing.
#
#   start.sh [DATA]   DATA: folder of its data, log (system.log) and pid; made when missing
#
# Environment, with defaults:
#   CQL_PORT        9042
#   STORAGE_PORT    CQL_PORT - 2042
#   JMX_PORT        none; set it to use nodetool.sh
#   CASSANDRA_HEAP  1G
#   CASSANDRA_LIB   where the jars are kept: sunbird-viewer/cassandra-VERSION/lib in XDG_CACHE_HOME or ~/.cache
#   JAVA17_HOME     found among the usual places, else installed by apt
#   START_TIMEOUT   180 (seconds)
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
STORAGE_PORT=${STORAGE_PORT:-$((CQL_PORT - 2042))}
START_TIMEOUT=${START_TIMEOUT:-180}

fail() { echo "cassandra: $*" >&2; exit 1; }

answers() { # whether somebody answers an OPTIONS frame of CQL v4 with SUPPORTED (06)
  local reply
  reply=$({ exec 3<>"/dev/tcp/127.0.0.1/$CQL_PORT" && printf '\x04\0\0\0\x05\0\0\0\0' >&3 &&
    timeout 2 head -c 9 <&3 | od -An -tx1 | tr -d ' \n'; } 2>/dev/null) || return 1
  [ "${reply:8:2}" = 06 ]
}

apt_install() {
  local root=()
  [ "$(id -u)" = 0 ] || root=(sudo -n)
  "${root[@]}" apt-get -o DPkg::Lock::Timeout=300 update -qq &&
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
      apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null ||
    fail "cannot install $*; install it yourself, or run this as root or with sudo"
}

fetch_jars() { # 67 MB, once; beside their place first, so that an interrupted download is never taken for complete
  [ -d "$lib" ] && return 0
  command -v mvn >/dev/null || apt_install maven
  mkdir -p "$(dirname "$lib")"
  local draft
  draft=$(mktemp -d "$lib.XXXXXX")
  echo "cassandra: getting $version from Maven"
  cp "$here/pom.xml" "$draft/"
  if ! mvn -B -q -l "$draft/log" -f "$draft/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$draft/lib" >/dev/null; then
    tail -n 20 "$draft/log" >&2
    rm -rf "$draft"
    fail "Maven could not get the jars"
  fi
  mv -T "$draft/lib" "$lib" 2>/dev/null || [ -d "$lib" ] # another start may have been quicker
  rm -rf "$draft"
}

launch() {
  local java_home jmx=()
  java_home=$(find_java17) || { apt_install openjdk-17-jre-headless; java_home=$(find_java17); } || fail "no Java 17"
  fetch_jars
  mkdir -p "$data/conf"
  sed -e "s/@CQL_PORT@/$CQL_PORT/" -e "s/@STORAGE_PORT@/$STORAGE_PORT/" "$here/cassandra.yaml.in" \
    >"$data/conf/cassandra.yaml"
  cp "$here/logback.xml" "$data/conf/"
  grep -v '^#' "$here/jvm17.options" >"$data/conf/jvm.options"
  [ -z "${JMX_PORT:-}" ] || jmx=(-Dcassandra.jmx.local.port="$JMX_PORT" -Djava.rmi.server.hostname=127.0.0.1)
  cd "$data" # where a heap dump would go
  setsid nohup "$java_home/bin/java" "@$data/conf/jvm.options" \
    -Xms256M "-Xmx${CASSANDRA_HEAP:-1G}" -XX:MaxDirectMemorySize=256M \
    -javaagent:"$(ls "$lib"/jamm-*.jar)" \
    -Dlogback.configurationFile="file://$data/conf/logback.xml" \
    -Dcassandra.config="file://$data/conf/cassandra.yaml" \
    -Dcassandra.storagedir="$data" \
    -Dcassandra.skip_wait_for_gossip_to_settle=0 -Dcassandra.ring_delay_ms=0 -Dcassandra.superuser_setup_delay_ms=0 \
    -Dcassandra-foreground=yes "${jmx[@]}" \
    -cp "$data/conf:$lib/*" org.apache.cassandra.service.CassandraDaemon </dev/null >"$data/system.log" 2>&1 &
  pid=$!
  echo "$pid" >"$data/pid"
}

data=${1:-$default_data}
mkdir -p "$data"
data=$(cd "$data" && pwd)
if answers; then
  if pid=$(node_pid "$data"); then
    echo "cassandra $version on 127.0.0.1:$CQL_PORT (pid $pid; stop: $here/stop.sh $data)"
  else
    echo "cassandra: a node with other data answers on 127.0.0.1:$CQL_PORT already; nothing started"
  fi
  exit 0
fi
pid=$(node_pid "$data") || launch
deadline=$((SECONDS + START_TIMEOUT))
launches=1
until answers; do
  if ! kill -0 "$pid" 2>/dev/null; then
    # Somebody's outgoing connection may have the port for a moment, when it is one of those the system gives out.
    if [ "$launches" -lt 3 ] && grep -q "Address already in use" "$data/system.log"; then
      launches=$((launches + 1))
      launch
      continue
    fi
    tail -n 30 "$data/system.log" >&2
    fail "stopped while starting; the end of $data/system.log is above"
  fi
  [ "$SECONDS" -lt "$deadline" ] || fail "no CQL on port $CQL_PORT after $START_TIMEOUT s (pid $pid, $data/system.log)"
  sleep 0.25
done
echo "cassandra $version on 127.0.0.1:$CQL_PORT (pid $pid; stop: $here/stop.sh $data)"
