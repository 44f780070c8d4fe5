#!/usr/bin/env bash
# Prints the folder that holds the Complete Journey's first quarter of 2017 as CSV, and fetches it if it is nowhere.
#
# It is looked for in $TALLYSTICK_JOURNEY_DIR (which, when set, must have it), in ../shared/data beside the repository,
# and in the cache. Standard output is the folder's path alone.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

has_journey() {
    local name
    for name in baskets-2017q1.csv.gz redemptions-2017q1.csv campaigns.csv campaign_members.csv; do
        [ -f "$1/$name" ] || return 1
    done
}

fetch_unless_there() {
    has_journey "$1" || "$repo_root/deploy/fetch-journey.sh" "$1"
}

if [ -n "${TALLYSTICK_JOURNEY_DIR:-}" ]; then
    has_journey "$TALLYSTICK_JOURNEY_DIR" ||
        die "TALLYSTICK_JOURNEY_DIR is $TALLYSTICK_JOURNEY_DIR, which does not hold the four files of the journey"
    found=$TALLYSTICK_JOURNEY_DIR
elif has_journey "$repo_root/../shared/data"; then
    found=$repo_root/../shared/data
else
    found=$cache_dir/journey
    with_lock "$cache_dir/journey.lock" fetch_unless_there "$found" >&2
fi
(cd -- "$found" && pwd)
