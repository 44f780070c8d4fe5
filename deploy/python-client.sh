#!/usr/bin/env bash
# Generates the Python client's code from proto/ into a folder, and prints the Python interpreter that can run it.
#
#   python=$(deploy/python-client.sh OUT)
#   PYTHONPATH=OUT "$python" client.py
#
# The interpreter's environment has grpcio, its health, reflection and status packages, and protobuf, at pinned versions.
# Standard output is the interpreter's path alone.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

[ "$#" -eq 1 ] || die "usage: deploy/python-client.sh OUT"
out=$1
mkdir -p -- "$out"
environment=$(python_environment client)
mapfile -t sources < <(cd -- "$repo_root/proto" && find . -name '*.proto' -printf '%P\n' | LC_ALL=C sort)
[ "${#sources[@]}" -gt 0 ] || die "there are no .proto files under $repo_root/proto"
"$environment/bin/python" -m grpc_tools.protoc --proto_path="$repo_root/proto" \
    --python_out="$out" --grpc_python_out="$out" "${sources[@]}" >&2
printf '%s\n' "$environment/bin/python"
