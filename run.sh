#!/usr/bin/env bash
# Rivulet, by verbs. `./run.sh help` lists them.
set -euo pipefail
cd "$(dirname "$0")"
rivulet=target/release/rivulet

say() { printf '%s\n' "$*" >&2; }

help() {
    cat <<'TEXT'
./run.sh               set up what is missing, build, and replay a real clickstream
./run.sh kafka         the same from topic to topic: starts a broker of its own on loopback, fills it
./run.sh demo          a shop whose home page changes as its visitor does, with the console beside it,
                       until Ctrl-C; --for 30s ends it by itself, --help has the other flags
./run.sh test [NAME]   everything the CI runs; with a name, only the tests it is part of
./run.sh bench [ROW…]  every promised figure, measured five times, in one table (about half an hour);
                       --list names the rows, --peers[=DIR] runs Flink and plain Rust beside it
./run.sh bench console how even the frames of the console are, in Chromium, with 10,000 segments and
                       5,000 differences a second
./run.sh chaos [EVENTS [FAULTS]]
                       a job from topic to topic, killed, moved and torn again and again (2,000,000
                       events, 24 faults); says how many differences were lost or doubled
./run.sh help          this
TEXT
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "not root and no sudo: please run  $*"
        return 1
    fi
}

install() {
    command -v apt-get >/dev/null || { say "please install: $*"; return 1; }
    say "installing $*"
    as_root apt-get update -qq >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

has_rust() { # recent enough for Cargo.toml
    command -v cargo >/dev/null || return 1
    local wanted found
    wanted=$(awk -F'"' '/^rust-version/ { print $2; exit }' Cargo.toml)
    found=$(cargo --version | awk '{ print $2 }') || return 1
    [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]
}

install_rust() { # the distribution's rustup, where it has one
    { install rustup && rustup default stable >&2; } ||
        { say "please install a Rust toolchain (rustup.rs tells how) and run this again"; return 1; }
}

setup() {
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    command -v cc >/dev/null || install gcc libc6-dev
    # What the client of Kafka is built with.
    for tool in g++ make pkg-config; do
        command -v "$tool" >/dev/null || install "$tool"
    done
    pkg-config --exists openssl || install libssl-dev
    if ! has_rust; then
        install_rust
        has_rust || { say "the toolchain is older than Cargo.toml asks for: rustup update"; return 1; }
    fi
}

setup_kafka() { # what a broker runs on, and what fetches it
    command -v java >/dev/null || install openjdk-17-jre-headless
    command -v mvn >/dev/null || install maven
}

setup_browser() { # what the console is tested in
    command -v npm >/dev/null || install nodejs npm
    command -v chromium >/dev/null || install chromium
    tests/common/browser.sh >/dev/null
}

setup_shop() { # what the shop of the demo runs on
    command -v npm >/dev/null || install nodejs npm
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] ||
        { say "the shop needs Node 18 or newer, this is $(node --version)"; return 1; }
    fixtures/shop/packages.sh >/dev/null
}

setup_clients() { # Segment's clients, which the tests of the collector run, and a browser for one
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
    command -v npm >/dev/null || install nodejs npm
    command -v chromium >/dev/null || install chromium
    tests/common/clients.sh >/dev/null
}

setup_schemathesis() { # what holds the OpenAPI document against the server
    python3 -c 'import ensurepip' 2>/dev/null || install python3 python3-venv
    tests/common/pypi.sh schemathesis 4.32.5 >/dev/null
    tests/common/pypi.sh xxhash 4.1.0 >/dev/null
}

setup_traces() { # what reads traces by the definitions of OpenTelemetry
    python3 -c 'import ensurepip' 2>/dev/null || install python3 python3-venv
    tests/common/pypi.sh opentelemetry-proto 1.45.2 >/dev/null
}

setup_network() { # what tests make machines of their own with, between which links can be cut
    command -v ip >/dev/null || install iproute2
}

setup_servers() { # what the tests of sinks write to; each test starts its own
    local wanted=()
    command -v redis-server >/dev/null || wanted+=(redis-server)
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || wanted+=(postgresql)
    [ ${#wanted[@]} -eq 0 ] || install "${wanted[@]}"
}

setup_tables() { # what reads exports
    python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
    tests/common/tables.sh >/dev/null
}

setup_prometheus() { # what alerts and dashboard are held against
    command -v promtool >/dev/null || install prometheus
}

build() { cargo build --release --locked; }

# Announces a step, runs it, says how long it took.
step() {
    local title=$1 start=$SECONDS
    shift
    say "== $title"
    if "$@"; then
        say "== $title: $((SECONDS - start)) s"
    else
        say "FAILED: $title, after $((SECONDS - start)) s. To see it alone: $*"
        exit 1
    fi
}

replay() {
    setup
    build
    "$rivulet" replay --job fixtures/jobs/otto.toml --workers 2 --format text
    say
    say "Shown: who entered (+) and left (-) which segment, and when, over four weeks of clicks,"
    say "carts and orders in the shop OTTO (fixtures/clickstreams), with the definitions in"
    say "fixtures/segments/otto. Next, try:"
    say "  $rivulet verify --job fixtures/jobs/otto.toml      the same, recomputed from scratch"
    say "  $rivulet replay --help                             your own events and segments"
    say "  ./run.sh demo                                      a shop that changes as you click"
    say "  ./run.sh test                                      everything the CI runs"
}

# Starts a broker and makes a topic; it ends with this script.
start_broker() {
    broker=tests/common/broker.sh tools=org.apache.kafka.tools
    local port=${KAFKA_PORT:-19092}
    address=127.0.0.1:$port
    folder=$(mktemp -d)
    # The broker ends when this end of the pipe is closed, at the latest with this script.
    exec 9> >(exec "$broker" serve "$folder" "$port" $((port + 1)) >&2)
    trap 'exec 9>&-; rm -rf "$folder"' EXIT
    say "starting Kafka on $address"
    until "$broker" tool $tools.TopicCommand --bootstrap-server "$address" --create \
        --if-not-exists --topic "$1" --partitions 4 9>&- >/dev/null 2>&1; do
        [ "$SECONDS" -lt 300 ] || { say "no broker came up on $address: is the port in use? KAFKA_PORT names another"; return 1; }
        sleep 0.5
    done
}

kafka() {
    setup
    setup_kafka
    build
    start_broker clicks
    say "filling the topic clicks, 4 partitions, keyed by user"
    gzip -dc fixtures/clickstreams/otto_clicks.jsonl.gz |
        sed -E 's/.*"userId":"([^"]*)".*/\1\t&/' |
        "$broker" tool $tools.ConsoleProducer --bootstrap-server "$address" --topic clicks \
            --property parse.key=true 9>&-
    KAFKA_BROKERS=$address "$rivulet" run fixtures/jobs/kafka/otto.toml --workers 2 \
        --until caught-up 9>&-
    # It ends once nothing more has come for a while, and says so by a code of its own.
    "$broker" tool $tools.consumer.ConsoleConsumer --bootstrap-server "$address" \
        --topic differences --from-beginning --isolation-level read_committed \
        --timeout-ms 5000 --property print.key=true 9>&- 2>/dev/null || true
    say
    say "Shown: what a consumer reads in the topic differences, the user first, up to the time that all"
    say "partitions of clicks have reached. The job is fixtures/jobs/kafka/otto.toml; without --until"
    say "caught-up it goes on until Ctrl-C. Each difference is there once, however often it is killed."
}

demo() {
    case " $* " in *" --help "*) exec node fixtures/shop/demo.mjs --help ;; esac
    setup
    setup_shop
    build
    local packages
    packages=$(fixtures/shop/packages.sh)
    # In the place of this script, so that Ctrl-C reaches nothing else; it ends what it starts.
    exec node fixtures/shop/demo.mjs --program "$rivulet" --packages "$packages" "$@"
}

test_all() {
    setup
    setup_kafka
    setup_browser
    setup_shop
    setup_clients
    setup_schemathesis
    setup_traces
    setup_network
    setup_servers
    setup_tables
    setup_prometheus
    if [ $# -gt 0 ]; then
        step "tests named $1" cargo test --workspace --locked -- "$@"
        say "The tests named $1 pass. (Not run: format, lints, real data.)"
        return
    fi
    for component in rustfmt clippy; do
        cargo "${component/rust/}" --version >/dev/null 2>&1 ||
            rustup component add "$component" >&2 || install "${component/clippy/rust-clippy}"
    done
    local start=$SECONDS job
    step "format" cargo fmt --all --check
    step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
    step "tests" cargo test --workspace --locked
    step "release build" build
    for job in fixtures/jobs/*.toml; do
        step "real data against the recomputation: $job" "$rivulet" verify --job "$job"
    done
    say "All is well: format, lints, tests and the real data pass, in $((SECONDS - start)) s."
}

bench_console() {
    setup
    setup_browser
    RIVULET_CONSOLE_SEGMENTS=${1:-10000} RIVULET_CONSOLE_RATE=${2:-5000} RIVULET_CONSOLE_SECONDS=${3:-20} \
        cargo test --release --locked --test console many_segments -- --nocapture
}

# Runs a server in a folder of its own, as this user or another. It ends when its standard input is
# closed, at the latest with this script, and the folder with it.
serve_alone() {
    local folder=$1
    shift
    cd "$folder"
    "$@" </dev/null >&2 &
    cat >/dev/null
    kill "$!" && wait "$!" || true
    rm -rf "$folder"
}

start_redis() {
    local port=${REDIS_PORT:-16379} folder
    folder=$(mktemp -d)
    exec 8> >(serve_alone "$folder" redis-server --port "$port" --bind 127.0.0.1 --save '' \
        --appendonly yes --appendfsync everysec --loglevel warning)
    until redis-cli -p "$port" ping >/dev/null 2>&1; do
        [ "$SECONDS" -lt 300 ] || { say "no Redis came up on port $port: REDIS_PORT names another"; return 1; }
        sleep 0.2
    done
    export REDIS_URL=redis://127.0.0.1:$port
}

start_postgres() {
    local port=${POSTGRES_PORT:-15432} folder bin as=()
    bin=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
    folder=$(mktemp -d)
    if [ "$(id -u)" = 0 ]; then # whom PostgreSQL does not want
        as=(setpriv --reuid=postgres --regid=postgres --clear-groups)
        chown postgres "$folder"
    fi
    (cd "$folder" && "${as[@]}" "$bin/initdb" -D "$folder/data" -U bench -A trust -E UTF8 --locale=C >/dev/null)
    exec 7> >(serve_alone "$folder" "${as[@]}" "$bin/postgres" -D "$folder/data" -p "$port" -h 127.0.0.1 -k '')
    until "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; do
        [ "$SECONDS" -lt 300 ] || { say "no PostgreSQL came up on port $port: POSTGRES_PORT names another"; return 1; }
        sleep 0.2
    done
    export POSTGRES_URL=postgres://bench@127.0.0.1:$port/postgres
}

bench() {
    if [ "${1:-}" = console ]; then
        shift
        bench_console "$@"
        return
    fi
    setup
    build
    # Rows that are measured against a broker get one, unless KAFKA_BROKERS names another; those that
    # are against Redis or PostgreSQL, unless REDIS_URL and POSTGRES_URL do.
    local word before='' rows='' wants_broker='' wants_redis='' wants_postgres=''
    for word in "$@"; do
        case $before:$word in
            --runs:* | --out:* | --json:*) ;;
            *:kafka* | *:recovery | *:state-bytes) wants_broker=1 ;;
            *:redis*) wants_redis=1 ;;
            *:postgres*) wants_postgres=1 ;;
            *:[a-z]*) rows=1 ;;
        esac
        before=$word
    done
    [ -n "$rows$wants_broker$wants_redis$wants_postgres" ] || wants_broker=1 wants_redis=1 wants_postgres=1
    case " $* " in *" --list "*) wants_broker='' wants_redis='' wants_postgres='' ;; esac
    [ -n "${REDIS_URL:-}" ] || [ -z "$wants_redis" ] || { setup_servers && start_redis; }
    [ -n "${POSTGRES_URL:-}" ] || [ -z "$wants_postgres" ] || { setup_servers && start_postgres; }
    if [ -n "$wants_broker" ] && [ -z "${KAFKA_BROKERS:-}" ]; then
        setup_kafka
        start_broker unused
        export KAFKA_BROKERS=$address
    fi
    "$rivulet" bench "$@" 7>&- 8>&- 9>&-
}

chaos() {
    setup
    RIVULET_CHAOS_EVENTS=${1:-2000000} RIVULET_CHAOS_FAULTS=${2:-24} \
        cargo test --release --locked --test chaos -- --nocapture
}

verb=${1:-replay}
[ $# -eq 0 ] || shift
case $verb in
    replay) replay ;;
    kafka) kafka ;;
    demo) demo "$@" ;;
    test) test_all "$@" ;;
    bench) bench "$@" ;;
    chaos) chaos "$@" ;;
    help | -h | --help) help ;;
    *) say "no such verb: $verb"; help >&2; exit 2 ;;
esac
