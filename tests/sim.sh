#!/usr/bin/env bash
# Runs the deterministic simulation once for each of a range of seeds, shows the output of those that fail, and ends
# with how many passed and failed. `make sim` calls this.
#
#   SIM_FIRST_SEED=1 SIM_SEEDS=20 SIM_STEPS=… tests/sim.sh
#
# What must stay true: a seed that fails is named with the command that replays it, and no failing seed hides another.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

first_seed=${SIM_FIRST_SEED:-1}
seed_count=${SIM_SEEDS:-20}
steps=${SIM_STEPS:-}
program=${CARGO_TARGET_DIR:-target}/release/tallystick

# A word would count as zero below, and nothing would run.
for setting in "SIM_FIRST_SEED=$first_seed" "SIM_SEEDS=$seed_count"; do
    if ! [[ ${setting#*=} =~ ^(0|[1-9][0-9]{0,17})$ ]]; then
        printf 'error: %s must be a whole number of up to 18 digits, and is "%s"\n' "${setting%%=*}" "${setting#*=}"
        exit 1
    fi
done

cargo build --release --locked --bin tallystick
output=$(mktemp)
trap 'rm -f -- "$output"' EXIT
passed_count=0
failed_count=0
for ((seed = first_seed; seed < first_seed + seed_count; seed++)); do
    command=("$program" sim --seed "$seed")
    if [ -n "$steps" ]; then
        command+=(--steps "$steps")
    fi
    if "${command[@]}" >"$output" 2>&1 </dev/null; then
        passed_count=$((passed_count + 1))
        printf 'seed %s: ok\n' "$seed"
    else
        failed_count=$((failed_count + 1))
        printf 'seed %s: FAILED; replay it with: tallystick %s\n' "$seed" "${command[*]:1}"
        tail --lines=200 -- "$output"
    fi
done
printf '%s passed, %s failed\n' "$passed_count" "$failed_count"
[ "$failed_count" -eq 0 ]
