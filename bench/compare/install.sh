#!/usr/bin/env bash
# Installs the peers that `compare` measures skein beside, each by a function of its own.
#
#   bench/compare/install.sh              all of them
#   bench/compare/install.sh redis kafka  some of them
#
# What Debian packages is installed by apt (as root); its services are not started. Kafka (Java
# archives of its release, by Maven) and Centrifugo (built with Go) go to $SKEIN_PEERS, by default
# `target/peers` of this repository, and touch nothing else.
set -euo pipefail

KAFKA_VERSION=4.1.0
CENTRIFUGO_VERSION=v6.9.1

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
peers=${SKEIN_PEERS:-$repository/target/peers}

# Debian starts a service when it is installed; a policy of "no" keeps the machine quiet.
debian() {
    local policy=/usr/sbin/policy-rc.d ours=""
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        ours=yes
    fi
    local status=0
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } || status=$?
    if [ -n "$ours" ]; then rm -f "$policy"; fi
    return "$status"
}

redis() { command -v redis-server >/dev/null || debian redis-server; }

nats() { command -v nats-server >/dev/null || debian nats-server; }

mosquitto() { [ -x /usr/sbin/mosquitto ] || debian mosquitto; }

# The broker's own archives and those it needs, as its release has them in `libs`.
kafka() {
    local libs=$peers/kafka/libs
    if compgen -G "$libs/kafka_2.13-$KAFKA_VERSION.jar" >/dev/null; then return; fi
    command -v mvn >/dev/null || debian maven default-jre-headless
    local project
    project=$(mktemp -d)
    cat >"$project/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>skein</groupId>
  <artifactId>kafka-libs</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$KAFKA_VERSION</version>
    </dependency>
  </dependencies>
</project>
POM
    mkdir -p "$libs"
    mvn -q -B -f "$project/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$libs"
    rm -rf "$project"
}

centrifugo() {
    [ -x "$peers/centrifugo/centrifugo" ] && return
    command -v go >/dev/null || debian golang-go
    mkdir -p "$peers/centrifugo"
    GOBIN=$peers/centrifugo GOFLAGS=-p=2 go install "github.com/centrifugal/centrifugo/v6@$CENTRIFUGO_VERSION"
}

# The embedded logs, skein's among them, in a program of its own with its own lock file.
logs() {
    cargo build --release --locked --manifest-path "$repository/bench/compare/logs/Cargo.toml" \
        --target-dir "$peers/logs"
}

if [ $# -eq 0 ]; then
    set -- redis nats mosquitto kafka centrifugo logs
fi
for peer in "$@"; do
    case $peer in
    redis | nats | mosquitto | kafka | centrifugo | logs)
        echo "installing $peer"
        "$peer"
        ;;
    *)
        echo "no peer is called $peer: redis, nats, mosquitto, kafka, centrifugo, logs" >&2
        exit 2
        ;;
    esac
done
