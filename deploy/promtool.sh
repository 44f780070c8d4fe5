#!/usr/bin/env bash
# Runs Prometheus' own tool, as in: deploy/promtool.sh check rules deploy/prometheus/alerts.yml
#
# It is the machine's, or else the one that deploy/bootstrap.sh took out of Debian's package prometheus.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

if command -v promtool >/dev/null 2>&1; then
    exec promtool "$@"
fi
[ -x "$promtool" ] || die 'there is no promtool; deploy/bootstrap.sh fetches it where apt-get has the package prometheus'
exec "$promtool" "$@"
