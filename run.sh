#!/usr/bin/env bash
# Rivulet, by verbs. `./run.sh help` lists them.
set -euo pipefail
cd "$(dirname "$0")"
rivulet=target/release/rivulet

say() { printf '%s\n' "$*" >&2; }

help() {
    cat <<'TEXT'
./run.sh               set up what is missing, build, and replay a real clickstream
./run.sh test [NAME]   everything the CI runs; with a name, only the tests it is part of
./run.sh bench [ROW…]  every promised figure, measured five times, in one table (about half an hour);
                       --list names the rows, --peers[=DIR] runs Flink and plain Rust beside it
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
    if ! has_rust; then
        install_rust
        has_rust || { say "the toolchain is older than Cargo.toml asks for: rustup update"; return 1; }
    fi
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

demo() {
    setup
    build
    "$rivulet" replay --job fixtures/jobs/otto.toml --workers 2 --format text
    say
    say "Shown: who entered (+) and left (-) which segment, and when, over four weeks of clicks,"
    say "carts and orders in the shop OTTO (fixtures/clickstreams), with the definitions in"
    say "fixtures/segments/otto. Next, try:"
    say "  $rivulet verify --job fixtures/jobs/otto.toml      the same, recomputed from scratch"
    say "  $rivulet replay --help                             your own events and segments"
    say "  ./run.sh test                                      everything the CI runs"
}

test_all() {
    setup
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

bench() {
    setup
    build
    "$rivulet" bench "$@"
}

verb=${1:-demo}
[ $# -eq 0 ] || shift
case $verb in
    demo) demo ;;
    test) test_all "$@" ;;
    bench) bench "$@" ;;
    help | -h | --help) help ;;
    *) say "no such verb: $verb"; help >&2; exit 2 ;;
esac
