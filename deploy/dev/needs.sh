#!/usr/bin/env bash
# Installs what building, running or testing needs and this machine lacks; says what it does.
# Called by make with `run` (to build and run), `test` (the oracle and clients as well) or `clients` (real programs too).
# A second call installs nothing.
set -euo pipefail

purpose="${1:?usage: needs.sh run|test|clients}"
cache="${FASTKEEP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/fastkeep}"

have() { command -v "$1" >/dev/null 2>&1; }
# What bindgen looks for; libclang-cpp is another library.
have_libclang() { compgen -G '/usr/lib/llvm-*/lib/libclang[.-][0-9s]*' >/dev/null || compgen -G '/usr/lib/*/libclang[.-][0-9s]*' >/dev/null; }
have_gem() { ruby -e 'gem ARGV[0]' "$1" >/dev/null 2>&1; }
have_venv() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

have cargo || { echo "needs: Rust is not installed (cargo not found); see https://rustup.rs" >&2; exit 1; }

packages=()
have g++ || packages+=(g++)
have make || packages+=(make)
have_libclang || packages+=(libclang-dev)
have protoc || packages+=(protobuf-compiler)
if [ "$purpose" != run ]; then
    have redis-server || packages+=(redis-server)
    have redis-benchmark || packages+=(redis-tools)
    have python3 || packages+=(python3)
    have_venv || packages+=(python3-venv)
fi
if [ "$purpose" = clients ]; then
    have node || packages+=(nodejs)
    have npm || packages+=(npm)
    have_gem sidekiq || packages+=(ruby-sidekiq)
    have_gem redis-namespace || packages+=(ruby-redis-namespace)
fi

if [ "${#packages[@]}" -gt 0 ]; then
    echo "needs: installing ${packages[*]}"
    have apt-get || { echo "needs: no apt-get here; install these by hand: ${packages[*]}" >&2; exit 1; }
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || { echo "needs: run this as root once: apt-get install -y ${packages[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    export DEBIAN_FRONTEND=noninteractive
    # A redis-server started by its package would only hold a port; the tests start their own.
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if [ "$purpose" != run ]; then
    venv="$cache/venv"
    wanted="redis==5.2.1"
    if [ "$(cat "$venv/.wanted" 2>/dev/null)" != "$wanted" ]; then
        echo "needs: making a private Python environment in $venv ($wanted)"
        python3 -m venv --clear "$venv"
        "$venv/bin/pip" install -q --disable-pip-version-check "$wanted"
        echo "$wanted" >"$venv/.wanted"
    fi
fi

if [ "$purpose" = clients ]; then
    here="$(cd "$(dirname "$0")/../../tests/clients" && pwd)"
    # Beside each installation lies what it was made from; it is made again when that changes.
    if ! cmp -s "$here/python/requirements.txt" "$cache/clients/python/requirements.txt"; then
        echo "needs: installing the Python programs of tests/clients in $cache/clients/python"
        python3 -m venv --clear "$cache/clients/python"
        "$cache/clients/python/bin/pip" install -q --disable-pip-version-check -r "$here/python/requirements.txt"
        cp "$here/python/requirements.txt" "$cache/clients/python/"
    fi
    if ! cmp -s "$here/node/package-lock.json" "$cache/clients/node/installed"; then
        echo "needs: installing the Node programs of tests/clients in $cache/clients/node"
        mkdir -p "$cache/clients/node"
        cp "$here/node/package.json" "$here/node/package-lock.json" "$cache/clients/node/"
        (cd "$cache/clients/node" && npm ci --silent --no-audit --no-fund --ignore-scripts)
        cp "$here/node/package-lock.json" "$cache/clients/node/installed"
    fi
fi
