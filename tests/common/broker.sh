#!/usr/bin/env bash
# One Kafka broker on loopback, for the tests and for ./run.sh kafka: KRaft, one node, small.
#   broker.sh jars                      fetches Kafka's jars from Maven Central, once; says where
#   broker.sh serve FOLDER PORT OTHER   serves the data in FOLDER on PORT (OTHER is the
#                                       controller's) until standard input is closed, then kills it
#   broker.sh tool CLASS ARGUMENT…      one of Kafka's own tools
# Settings in FOLDER/more.properties come last, and so prevail.
set -euo pipefail
version=4.1.0
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rivulet/kafka-$version

say() { printf '%s\n' "$*" >&2; }

pom() {
    cat <<XML
<project xmlns="http://maven.apache.org/POM/4.0.0">
<modelVersion>4.0.0</modelVersion>
<groupId>rivulet</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version>
<exclusions><exclusion><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId></exclusion></exclusions></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies>
</project>
XML
}

jars() {
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock 8 # tests start at once
    if [ ! -e "$cache/complete" ]; then
        command -v mvn >/dev/null || { say "maven is missing: ./run.sh kafka installs it"; return 1; }
        say "fetching the jars of Kafka $version (once)"
        pom >"$cache/pom.xml"
        mvn -q -B -f "$cache/pom.xml" dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$cache/jars" >&2
        touch "$cache/complete"
    fi
    exec 8>&-
    printf '%s\n' "$cache/jars"
}

java_with() { # heap, class, arguments
    command -v java >/dev/null || { say "java is missing: ./run.sh kafka installs it"; return 1; }
    local heap=$1
    shift
    exec java "-Xmx$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto \
        -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$(jars)/*" "$@"
}

properties() { # folder, port, controller's port
    cat <<TEXT
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$3
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$3
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
log.dirs=$1/data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
num.network.threads=1
num.io.threads=2
TEXT
    [ ! -e "$1/more.properties" ] || cat "$1/more.properties"
}

serve() {
    mkdir -p "$1"
    properties "$@" >"$1/server.properties"
    jars >/dev/null
    if [ ! -e "$1/data/meta.properties" ]; then
        (java_with 128m kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA \
            -c "$1/server.properties") >/dev/null
    fi
    (java_with 512m kafka.Kafka "$1/server.properties") </dev/null >&2 &
    broker=$!
    trap 'kill -9 $broker 2>/dev/null' EXIT
    # Until whoever started it closes the other end, or is no more; or until it ends by itself.
    while kill -0 $broker 2>/dev/null; do
        local status=0
        read -r -t 0.2 _ || status=$?
        [ $status = 0 ] || [ $status -gt 128 ] || break # above 128: nothing came meanwhile
    done
}

verb=${1:-}
[ $# -eq 0 ] || shift
case $verb in
    jars) jars ;;
    serve) serve "$@" ;;
    tool) java_with 256m "$@" ;;
    *) say "usage: broker.sh jars | serve FOLDER PORT OTHER | tool CLASS ARGUMENT…"; exit 2 ;;
esac
