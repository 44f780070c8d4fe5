#!/usr/bin/env bash
# Runs the pinned cargo-deny, as in: deploy/deny.sh check
# Without the list of advisories, which changes without us and would have to be downloaded: licences, bans and sources.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

[ "${1:-}" = check ] && [ $# -eq 1 ] || die "usage: deploy/deny.sh check"
environment=$(python_environment deny)
cd -- "$repo_root"
exec "$environment/bin/cargo-deny" --locked check licenses bans sources
