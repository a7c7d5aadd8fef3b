# What start.sh, stop.sh and nodetool.sh agree on. Sourced, never run.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CQL_PORT=${CQL_PORT:-9042}
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/sunbird-viewer
version=$(sed -n 's:.*<cassandra.version>\(.*\)</cassandra.version>.*:\1:p' "$here/pom.xml")
lib=${CASSANDRA_LIB:-$cache/cassandra-$version/lib}
default_data=$cache/cassandra-node-$CQL_PORT

find_java17() { # prints the home of a Java 17, or fails
  local home
  for home in "${JAVA17_HOME:-}" /usr/lib/jvm/java-17-openjdk-* /usr/lib/jvm/temurin-17* "${JAVA_HOME:-}"; do
    if [ -n "$home" ] && [ -x "$home/bin/java" ] && "$home/bin/java" -version 2>&1 | grep -q 'version "17\.'; then
      echo "$home"
      return 0
    fi
  done
  return 1
}

node_pid() { # node_pid DATA: the process that serves this folder, or fails; a number alone may be somebody else's now
  local pid
  pid=$(cat "$1/pid" 2>/dev/null) || return 1
  tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qxF -- "-Dcassandra.storagedir=$1" || return 1
  echo "$pid"
}
