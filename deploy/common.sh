# shellcheck shell=bash
# What the scripts of this folder share: where downloaded things live, and how a Python environment is made.
#
# What must stay true: nothing is downloaded twice, a half-made environment is never used (its stamp is written last),
# and two scripts that run at once do not build the same environment together (they take a lock).
# Sourced, never run. Messages go to standard error, so that a script's standard output stays an answer.

repo_root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
cache_dir=${TALLYSTICK_CACHE:-${HOME:?HOME or TALLYSTICK_CACHE must be set}/.cache/tallystick}
tools_dir=$cache_dir/tools
# Where deploy/bootstrap.sh puts Prometheus' own tool, unless the machine has it already.
promtool=$tools_dir/prometheus/promtool

# rustup extends the path in the login profile, which a service or a shell that was open before has not read.
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
export PATH

say() {
    printf '%s\n' "$*" >&2
}

die() {
    say "error: $*"
    exit 1
}

# Runs a command while holding a lock file, where the system has flock; the lock goes with the process.
with_lock() {
    local lock_file=$1
    shift
    mkdir -p -- "$(dirname -- "$lock_file")"
    (
        if command -v flock >/dev/null 2>&1; then
            flock 9
        fi
        "$@"
    ) 9>"$lock_file"
}

# Makes sure of the Python environment that deploy/python/NAME.txt pins, and prints the folder it is in.
# The stamp holds the pins and the interpreter's version, so that a change of either makes the environment anew.
python_environment() {
    local name=$1
    local pins=$repo_root/deploy/python/$name.txt
    command -v python3 >/dev/null 2>&1 || die "python3 is not installed; run deploy/bootstrap.sh"
    with_lock "$tools_dir/$name.lock" make_python_environment "$tools_dir/$name" "$pins" >&2 || return 1
    printf '%s\n' "$tools_dir/$name"
}

make_python_environment() {
    local folder=$1 pins=$2 wanted
    wanted=$(python3 --version && cat -- "$pins") || return 1
    if [ -x "$folder/bin/python" ] && [ "$(cat -- "$folder/stamp" 2>/dev/null || true)" = "$wanted" ]; then
        return 0
    fi
    say "Making the Python environment $folder"
    rm -rf -- "$folder"
    python3 -m venv "$folder" || {
        say "error: python3 cannot make a virtual environment; install python3-venv, or run deploy/bootstrap.sh"
        return 1
    }
    # Built packages only: a package without one for this machine should fail at once, not start a compiler.
    "$folder/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --retries 5 \
        --only-binary :all: --requirement "$pins" || return 1
    printf '%s\n' "$wanted" >"$folder/stamp"
}
