#!/usr/bin/env bash
# Fuzzes every target for some seconds each, starting from the corpus that is kept, and stops at the first crash:
#
#   tests/fuzz/run.sh              FUZZ_RUNS inputs (a million unless set) or FUZZ_SECONDS (10) each, whichever ends first
#   tests/fuzz/run.sh TARGET …     these alone
#
# The same inputs every time, so that a change is judged by itself; another FUZZ_SEED (1) tries others.
#
# Works with the stable toolchain: the compiler's own pass counts what is reached (-Cpasses=sancov-module), and libFuzzer
# comes with the crate libfuzzer-sys. Where that crate cannot be built, says so and ends well: tests/decoders.rs has run the
# same targets over the corpus and over damage to it.
#
# What must stay true: a crash fails, and so do targets that do not compile or that reach nothing; what was found is kept in the folder named at the end, to become a file of the
# corpus; the corpus itself is never written to.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

seconds=${FUZZ_SECONDS:-10}
runs_max=${FUZZ_RUNS:-1000000}
seed=${FUZZ_SEED:-1}
build_seconds_max=${FUZZ_BUILD_SECONDS_MAX:-1500}
target_dir=${CARGO_TARGET_DIR:-../../target}/fuzz
host=$(rustc --version --verbose | sed -n 's/^host: //p')

# The flags are for what is fuzzed, not for build scripts: naming the target keeps the two apart.
flags='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters'
flags+=' -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing'

build() {
    RUSTFLAGS=$flags CARGO_TARGET_DIR=$target_dir timeout "$build_seconds_max" \
        cargo build --release --locked --target "$host" --quiet "$@"
}

# A lock file that does not fit the main one's dependencies is a mistake, and no reason to leave anything out.
cargo metadata --locked --format-version 1 >/dev/null

if ! build; then
    if build --package libfuzzer-sys; then
        echo 'error: the fuzz targets cannot be built, though libFuzzer can (see above)'
        exit 1
    fi
    echo 'Left out: coverage-guided fuzzing, for libFuzzer cannot be built here (see above)'
    exit 0
fi
binary=$target_dir/$host/release/tallystick-fuzz

names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
    for folder in corpus/*/; do
        names+=("$(basename -- "$folder")")
    done
fi
found=$(mktemp -d)
for name in "${names[@]}"; do
    [ -d "corpus/$name" ] || { echo "there is no corpus of $name"; exit 1; }
    mkdir -p "$found/$name/new" "$found/$name/crashes"
    log=$found/$name/log
    # The first folder takes what is new; the second is only read.
    if ! TARGET=$name "$binary" "$found/$name/new" "corpus/$name" -artifact_prefix="$found/$name/crashes/" \
        -seed="$seed" -runs="$runs_max" -max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=2048 -verbosity=1 -print_final_stats=1 \
        >"$log" 2>&1; then
        tail -n 60 -- "$log"
        echo "$name: the bytes are in $found/$name/crashes; put them into tests/fuzz/corpus/$name, and mend what they found"
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    reached=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    if [ "${runs:-0}" -eq 0 ] || [ "${reached:-0}" -eq 0 ]; then
        tail -n 60 -- "$log"
        echo "$name: error: ${runs:-no} inputs, ${reached:-no} places reached: nothing was fuzzed, or what is reached is not counted"
        exit 1
    fi
    echo "$name: $runs inputs, $reached places reached, no crash"
done
rm -rf -- "$found"
