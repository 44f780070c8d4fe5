#!/usr/bin/env bash
# Runs the pinned buf, as in: deploy/buf.sh lint proto
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

environment=$(python_environment buf)
# buf keeps a cache of its own, and refuses to run where it cannot.
BUF_CACHE_DIR=$cache_dir/buf exec "$environment/bin/buf" "$@"
