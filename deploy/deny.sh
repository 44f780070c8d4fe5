#!/usr/bin/env bash
# Runs the pinned cargo-deny:
#
#   deploy/deny.sh check                licences, bans and sources
#   deploy/deny.sh advisories FOLDER    known weaknesses, by a copy of RustSec's database (a clone of
#                                       https://github.com/RustSec/advisory-db), whose date is said
#
# Nothing is downloaded but the tool and the crates of the lock file: a build that was good stays good, and what is known to be weak is judged by a copy that
# somebody chose, of a date that is known. ADVISORIES_DAYS_MAX=30 fails if the copy is older than that. Without FOLDER the
# variable TALLYSTICK_ADVISORIES names it; without either, it is said that nothing was checked, with exit status 0 unless
# ADVISORIES_DAYS_MAX is set.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

usage='usage: deploy/deny.sh check | advisories [FOLDER]'
# The name that cargo-deny looks for: that of the repository, and a hash of its address.
database=advisory-db-3157b0e258782691

run_deny() {
    local environment
    environment=$(python_environment deny)
    cd -- "$repo_root"
    "$environment/bin/cargo-deny" --locked "$@"
}

check_advisories() {
    local folder=${1:-${TALLYSTICK_ADVISORIES:-}} days_max=${ADVISORIES_DAYS_MAX:-} scratch committed days status=0
    if [ -z "$folder" ]; then
        say 'Left out: advisories were not checked, for there is no copy of the database (TALLYSTICK_ADVISORIES names one)'
        [ -z "$days_max" ] || die 'ADVISORIES_DAYS_MAX asks for a copy that is not too old'
        return 0
    fi
    [ -d "$folder/crates" ] || die "$folder is no copy of the advisory database: it has no folder crates"
    committed=$(git -C "$folder" log -1 --format=%ct 2>/dev/null) || die "$folder is no clone: its date is not known"
    days=$((($(date +%s) - committed) / 86400))
    echo "Advisories of $(date --utc --date "@$committed" +%F), $days days old"
    if [ -n "$days_max" ] && [ "$days" -gt "$days_max" ]; then
        die "the copy is older than $days_max days"
    fi
    scratch=$(mktemp -d)
    git clone --quiet --no-hardlinks -- "$folder" "$scratch/$database"
    {
        cat -- "$repo_root/deny.toml"
        printf '\n[advisories]\ndb-path = "%s"\ndb-urls = ["https://github.com/RustSec/advisory-db"]\n' "$scratch"
    } >"$scratch/deny.toml"
    # Of every platform that the lock file has, for the tool looks at all of them.
    (cd -- "$repo_root" && cargo fetch --locked --quiet)
    run_deny --offline --config "$scratch/deny.toml" check advisories || status=$?
    rm -rf -- "$scratch"
    return "$status"
}

case ${1:-} in
check)
    [ $# -eq 1 ] || die "$usage"
    run_deny check licenses bans sources
    ;;
advisories)
    [ $# -le 2 ] || die "$usage"
    check_advisories "${2:-}"
    ;;
*) die "$usage" ;;
esac
