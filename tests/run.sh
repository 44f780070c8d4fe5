#!/usr/bin/env bash
# Runs every check of the project, in order, and stops at the first step that fails. `make test` calls this.
#
# What must stay true: each step says in one line what it checks; nothing reads standard input; the whole ends within
# TEST_SECONDS_MAX; and the last line of the log is the number of tests passed and failed, whatever happened. A failed
# step that runs no tests (a lint, a build) counts as one failure. What is left out is named above that line, and counts as
# nothing: no check is green that has not run.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

# A job of its own process group, so that a step that is stopped takes what it started with it.
set -m

seconds_max=${TEST_SECONDS_MAX:-5100}
sim_seed_count=${SIM_SEEDS:-20}
fuzz_seconds=${FUZZ_SECONDS:-5}
released_wire=tests/golden/wire/released.binpb

passed_count=0
failed_count=0
left_out=()
left_out_test_count=0
step_index=0
step_pid=
tail_pid=
logs=$(mktemp -d)

finish() {
    local status=$?
    local pid what
    for pid in $step_pid $tail_pid; do
        kill -TERM "$pid" 2>/dev/null || true
    done
    rm -rf -- "$logs"
    if [ "$status" -ne 0 ] && [ "$failed_count" -eq 0 ]; then
        failed_count=1
    fi
    # A test that is left out returns at once, and was counted as passed if the tests have run.
    if [ "$passed_count" -ge "$left_out_test_count" ]; then
        passed_count=$((passed_count - left_out_test_count))
    fi
    echo
    for what in "${left_out[@]}"; do
        printf 'Left out: %s\n' "$what"
    done
    printf '%s passed, %s failed\n' "$passed_count" "$failed_count"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Prints "PASSED FAILED": the sums over the closing lines of nextest, cargo test and the simulator in a step's log.
count_tests() {
    awk '
        /^ *Summary \[.*tests? run: / {
            sub(/.*\] */, "")
            run = $1 + 0
            match($0, /[0-9]+ passed/)
            good = RSTART ? substr($0, RSTART) + 0 : 0
            passed += good
            failed += run - good
        }
        /^test result: / {
            match($0, /[0-9]+ passed/); passed += substr($0, RSTART) + 0
            match($0, /[0-9]+ failed/); failed += substr($0, RSTART) + 0
        }
        /^[0-9]+ passed, [0-9]+ failed$/ { passed += $1; failed += $3 }
        END { print passed + 0, failed + 0 }
    ' "$1"
}

# step WHAT COMMAND...: says what is checked, runs the command within the time that is left, and adds up its tests.
step() {
    local what=$1 seconds_left status=0 step_passed step_failed started=$SECONDS log line
    shift
    step_index=$((step_index + 1))
    log=$logs/$step_index
    printf '\n== %s. %s\n   %s\n' "$step_index" "$what" "$*"
    seconds_left=$((seconds_max - SECONDS))
    if [ "$seconds_left" -le 0 ]; then
        printf '== FAILED: no time is left of the %s s for all steps\n' "$seconds_max"
        exit 1
    fi
    # The step writes to a file that is shown as it grows: a process that it leaves behind cannot hold this script up.
    timeout --kill-after=20 "$seconds_left" "$@" >"$log" 2>&1 </dev/null &
    step_pid=$!
    tail --sleep-interval=0.2 --lines=+1 --follow --pid="$step_pid" -- "$log" 2>/dev/null &
    tail_pid=$!
    # Waiting, unlike a program in the foreground, is interrupted by a signal at once.
    wait "$tail_pid" || true
    wait "$step_pid" || status=$?
    step_pid=
    tail_pid=
    read -r step_passed step_failed < <(count_tests "$log")
    passed_count=$((passed_count + step_passed))
    failed_count=$((failed_count + step_failed))
    while IFS= read -r line; do
        left_out+=("${line#Left out: }")
    done < <(grep '^Left out: ' -- "$log")
    if [ "$status" -ne 0 ] && [ "$SECONDS" -ge "$seconds_max" ]; then
        printf '== FAILED: stopped, the %s s for all steps are over\n' "$seconds_max"
    elif [ "$status" -ne 0 ]; then
        printf '== FAILED: exit status %s after %s s\n' "$status" "$((SECONDS - started))"
    elif [ "$step_failed" -ne 0 ]; then
        printf '== FAILED: %s tests failed, although the exit status was 0\n' "$step_failed"
        status=1
    else
        printf '== ok, %s s\n' "$((SECONDS - started))"
    fi
    if [ "$status" -ne 0 ]; then
        if [ "$step_failed" -eq 0 ]; then
            failed_count=$((failed_count + 1))
        fi
        exit 1
    fi
}

# probe VARIABLE TESTS WHAT COMMAND...: where the variable is not 1 and the command fails, this machine lacks what so many
# tests need; the variable tells them, and WHAT is named at the end. Without the variable those tests fail.
probe() {
    local variable=$1 test_count=$2 what=$3 why
    shift 3
    if [ "${!variable:-}" = 1 ]; then
        why="$variable is 1"
    elif why=$("$@" 2>&1 </dev/null); then
        return 0
    else
        # Programs say who they are and what they touched before they say what is wrong, and may advise below.
        why=${why%%$'\n'*}
        why=${why##*: }
        export "$variable=1"
    fi
    left_out+=("$what: $why")
    left_out_test_count=$((left_out_test_count + test_count))
}

# What tests/faults.rs does for a disk that is full or cannot be written.
mount_in_memory() {
    local folder=$logs/mount status=0
    mkdir -- "$folder"
    mount -t tmpfs -o size=1m tmpfs "$folder" || return
    mount -o remount,ro "$folder" || status=$?
    umount -l "$folder" || status=$?
    return "$status"
}

for setting in "TEST_SECONDS_MAX=$seconds_max" "SIM_SEEDS=$sim_seed_count" "FUZZ_SECONDS=$fuzz_seconds"; do
    if ! [[ ${setting#*=} =~ ^(0|[1-9][0-9]{0,8})$ ]]; then
        printf 'error: %s must be a whole number from 0 to 999999999, and is "%s"\n' "${setting%%=*}" "${setting#*=}"
        exit 1
    fi
done

step 'The machine has what the checks need' deploy/bootstrap.sh
probe TALLYSTICK_WITHOUT_MOUNT 2 'a full disk and a read-only one, since nothing can be mounted' mount_in_memory
probe TALLYSTICK_WITHOUT_PROMTOOL 1 'the judgement of promtool on the alerts' deploy/promtool.sh --version
probe TALLYSTICK_WITHOUT_SYSTEMD 1 'the judgement of systemd-analyze on the unit' systemd-analyze --version
step 'The grocery baskets that the tests load are at hand' deploy/journey-data.sh
step 'The sources are formatted' cargo fmt --check -- --color never
step 'Clippy has nothing to say about any target' \
    cargo clippy --release --locked --all-targets -- -D warnings
step 'Clippy has nothing to say about the core alone, without RocksDB and gRPC' \
    cargo clippy --release --locked --no-default-features --lib -- -D warnings
step 'What is built in may be shipped, and comes from the registry' deploy/deny.sh check
step 'What is built in has no weakness that a dated copy of the advisories knows, if there is one' deploy/deny.sh advisories
step 'The wire contract follows the lint rules' deploy/buf.sh lint proto
step 'The wire contract breaks nothing that was released' deploy/buf.sh breaking proto --against "$released_wire"
if cargo nextest --version >/dev/null 2>&1; then
    step 'The tests pass' cargo nextest run --release --locked --no-fail-fast
else
    step 'The tests pass (cargo nextest is not installed, cargo test runs them)' \
        cargo test --release --locked --no-fail-fast --lib --bins --tests
fi
step 'The simulator finds each deliberately broken variant of the write path' \
    cargo test --release --locked --no-default-features --features broken-variants --test simulation
step 'The examples in comments run' cargo test --release --locked --doc
step 'The benchmarks compile' cargo bench --locked --no-run
if [ "$sim_seed_count" -gt 0 ]; then
    step 'The ledger survives simulated faults' tests/sim.sh
else
    left_out+=('the simulation: SIM_SEEDS is 0')
fi
if [ "$fuzz_seconds" -gt 0 ]; then
    step 'The decoders take whatever a fuzzer finds' env FUZZ_SECONDS="$fuzz_seconds" tests/fuzz/run.sh
else
    left_out+=('coverage-guided fuzzing: FUZZ_SECONDS is 0')
fi
