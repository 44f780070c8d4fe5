#!/usr/bin/env bash
# Makes sure that this machine has what building and testing Tallystick needs. Safe to run again: when everything is
# there, it takes a moment and changes nothing.
#
#   deploy/bootstrap.sh          what the build and the tests need
#   deploy/bootstrap.sh build    what the build alone needs
#
# What is missing is installed where apt-get and root (or sudo without a password) are to be had; elsewhere the script
# says exactly what to install, and fails. promtool alone may be missing in the end: tests/run.sh then leaves out what needs it,
# and says so.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

rust_minor_min=95

has() {
    command -v "$1" >/dev/null 2>&1
}

# RocksDB's bindings are generated at build time by libclang, which is loaded from one of these places.
has_libclang() {
    local pattern
    for pattern in "${LIBCLANG_PATH:+$LIBCLANG_PATH/libclang*.so*}" '/usr/lib/llvm-*/lib/libclang*.so*' \
        '/usr/lib/*/libclang*.so*' '/usr/lib64/libclang*.so*' '/usr/lib64/llvm*/lib/libclang*.so*' \
        '/usr/local/lib/libclang*.so*'; do
        if [ -n "$pattern" ] && compgen -G "$pattern" >/dev/null; then
            return 0
        fi
    done
    return 1
}

# libclang reads the compiler's own headers (stddef.h and others), which Debian packs apart from the library.
has_clang_headers() {
    local pattern
    for pattern in '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' '/usr/lib/clang/*/include/stddef.h' \
        '/usr/lib64/clang/*/include/stddef.h' "${LIBCLANG_PATH:+$LIBCLANG_PATH/clang/*/include/stddef.h}"; do
        if [ -n "$pattern" ] && compgen -G "$pattern" >/dev/null; then
            return 0
        fi
    done
    return 1
}

# The Debian packages that are missing for the given purpose, one a line.
missing_packages() {
    has make || echo make
    { has g++ || has clang++ || has c++; } && { has cc || has gcc || has clang; } || echo g++
    has_libclang && has_clang_headers || echo libclang-dev
    if [ "$1" = all ]; then
        has python3 || echo python3
        python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || echo python3-venv
    fi
}

install_packages() {
    local -a as_root=()
    if ! has apt-get; then
        die "these Debian packages (or your system's like of them) are missing, please install them: $*"
    fi
    if [ "$(id -u)" -ne 0 ]; then
        if ! has sudo || ! sudo -n true >/dev/null 2>&1; then
            die "packages are missing; run: sudo apt-get install $*"
        fi
        as_root=(sudo -n)
    fi
    say "Installing $*"
    local -a quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o Acquire::Retries=3)
    "${as_root[@]}" "${quiet[@]}" update </dev/null >&2
    "${as_root[@]}" "${quiet[@]}" install --yes --no-install-recommends "$@" </dev/null >&2
}

check_rust() {
    has cargo || die "cargo is not installed; get it with rustup, as https://rustup.rs tells"
    local version
    version=$(rustc --version) || die "rustc does not run; choose a toolchain, as in: rustup default stable"
    if ! [[ $version =~ ^rustc\ 1\.([0-9]+)\. ]] || [ "${BASH_REMATCH[1]}" -lt "$rust_minor_min" ]; then
        die "Rust 1.$rust_minor_min or newer is needed, and this is $version; run: rustup update stable"
    fi
}

# The minimal rustup profile leaves these two out.
check_rust_tools() {
    local tool
    for tool in fmt clippy; do
        if ! cargo "$tool" --version >/dev/null 2>&1; then
            has rustup || die "cargo $tool is not installed, and there is no rustup to install it with"
            say "Installing cargo $tool"
            rustup component add "${tool/#fmt/rustfmt}" </dev/null >&2
        fi
    done
}

check_python() {
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        die "Python 3.10 or newer is needed, and this is $(python3 --version)"
}

# Whether apt-get can install a package.
is_offered() {
    [[ $(LC_ALL=C apt-cache policy "$1" 2>/dev/null) =~ Candidate:\ [^\(] ]]
}

# Prometheus' own tool, which judges the alerts, out of Debian's package: no service is installed, and nobody need be root.
get_promtool() {
    if has promtool || [ -x "$promtool" ]; then
        return 0
    fi
    if ! has apt-get || ! has dpkg-deb; then
        return 1
    fi
    # The image of a container may have no lists of packages.
    if ! is_offered prometheus && [ "$(id -u)" -eq 0 ]; then
        apt-get -qq update </dev/null >&2 || return 1
    fi
    is_offered prometheus || return 1
    with_lock "$tools_dir/prometheus.lock" unpack_promtool >&2
}

# What is moved into the cache in one step is whole, and runs here.
unpack_promtool() {
    local scratch status=0
    [ ! -x "$promtool" ] || return 0
    mkdir -p -- "$(dirname -- "$promtool")" || return 1
    scratch=$(mktemp -d -- "$(dirname -- "$promtool")/part.XXXXXX") || return 1
    say 'Fetching promtool (19 MB)'
    {
        cd -- "$scratch" &&
            apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 download prometheus </dev/null &&
            dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool &&
            usr/bin/promtool --version >/dev/null 2>&1 &&
            mv -- usr/bin/promtool "$promtool"
    } || status=1
    rm -rf -- "$scratch"
    return "$status"
}

main() {
    local purpose=${1:-all}
    case $purpose in
    all | build) ;;
    *) die "the purpose is 'build' or nothing, not '$purpose'" ;;
    esac
    local -a packages
    mapfile -t packages < <(missing_packages "$purpose")
    if [ "${#packages[@]}" -gt 0 ]; then
        install_packages "${packages[@]}"
        mapfile -t packages < <(missing_packages "$purpose")
        [ "${#packages[@]}" -eq 0 ] || die "still missing after installing: ${packages[*]}"
    fi
    check_rust
    if [ "$purpose" = all ]; then
        check_rust_tools
        check_python
        python_environment buf >/dev/null
        python_environment client >/dev/null
        python_environment deny >/dev/null
        get_promtool || say 'promtool is not to be had here; it judges the alerts, and is part of Prometheus'
    fi
}

main "$@"
