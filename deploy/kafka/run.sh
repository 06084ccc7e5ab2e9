#!/bin/sh
# Runs one node of Apache Kafka in the foreground: run.sh DATA_DIR [PORT [CONTROLLER_PORT [FORMAT_ARGUMENT...]]]
#
# Fetches the jars on first use (Maven), formats DATA_DIR on first use, then becomes the broker's process: whoever
# started this script may signal its process id. Data and ports stay the same over restarts of one DATA_DIR.
# KAFKA_HEAP sets the heap (default 512m), KAFKA_PROPERTIES names a file of properties that come after server.properties
# and win, and any further arguments go to the formatting (as --add-scram). `run.sh --fetch` only fetches the jars.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
libs="$here/../../build/kafka/libs"
stamp="$libs/.complete"

fetch() {
    [ -e "$stamp" ] && [ "$stamp" -nt "$here/pom.xml" ] && return
    command -v mvn >/dev/null || { echo "Apache Kafka needs Maven: apt-get install maven default-jre-headless" >&2; exit 2; }
    echo "Fetching Apache Kafka (46 jars, 44 MB, once) ..." >&2
    new="$libs.$$"
    mvn --quiet --batch-mode -Dstyle.color=never --file "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$new" >&2
    touch "$new/.complete"
    rm -rf "$libs"
    mv "$new" "$libs"
}

fetch
[ "${1:-}" = "--fetch" ] && exit 0
[ $# -ge 1 ] || { echo "usage: run.sh DATA_DIR [PORT [CONTROLLER_PORT [FORMAT_ARGUMENT...]]]" >&2; exit 2; }
command -v java >/dev/null || { echo "Apache Kafka needs Java 17: apt-get install default-jre-headless" >&2; exit 2; }

port=${2:-9092}
controller_port=${3:-$((port + 1))}
mkdir -p "$1"
data=$(CDPATH='' cd -- "$1" && pwd)
properties="$data/server.properties"
sed -e "s|@PORT@|$port|g" -e "s|@CONTROLLER_PORT@|$controller_port|g" -e "s|@DATA@|$data/log|g" \
    "$here/server.properties" ${KAFKA_PROPERTIES:+"$KAFKA_PROPERTIES"} > "$properties"
if [ $# -gt 3 ]; then shift 3; else set --; fi

java_with_kafka() {
    exec java "-Xmx${KAFKA_HEAP:-512m}" -XX:+UseG1GC -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dorg.slf4j.simpleLogger.showDateTime=true \
        -cp "$libs/*" "$@"
}

if [ ! -e "$data/log/meta.properties" ]; then
    (java_with_kafka kafka.tools.StorageTool format --standalone --cluster-id sie-online-for-tests-0 \
        --config "$properties" "$@") > "$data/format.log" 2>&1 || { cat "$data/format.log" >&2; exit 1; }
fi
echo "Apache Kafka on 127.0.0.1:$port, data in $data; Ctrl-C ends it" >&2
java_with_kafka kafka.Kafka "$properties"
