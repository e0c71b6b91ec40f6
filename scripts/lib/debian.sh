# shellcheck shell=bash
# Installs Debian packages without starting the services that they bring, now or at the next boot.
# Sourced by scripts/bench and scripts/test.

# Runs a command as root, through sudo where that asks for no password; fails where neither is possible.
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    else
        sudo -n true 2>/dev/null && sudo -n "$@"
    fi
}

# install_packages PACKAGE…: prints only what went wrong. A policy-rc.d that forbids every start stands during the
# installation; the one that stood there before, if any, is put back.
install_packages() {
    command -v apt-get >/dev/null && as_root true || return 1
    # shellcheck disable=SC2016  # expanded by the inner shell
    as_root env DEBIAN_FRONTEND=noninteractive bash -euo pipefail -c '
        policy=/usr/sbin/policy-rc.d saved= log=$(mktemp)
        if [[ -e $policy ]]; then
            saved=$(mktemp "$policy.XXXXXX")
            cp -p "$policy" "$saved"
        fi
        restore() {
            if [[ -n $saved ]]; then mv -f "$saved" "$policy"; else rm -f "$policy"; fi
            rm -f "$log"
        }
        trap restore EXIT
        trap "exit 1" HUP INT TERM
        printf "#!/bin/sh\nexit 101\n" > "$policy"
        chmod 755 "$policy"
        if ! { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
            tail -n 20 "$log" >&2
            exit 1
        fi
        for service in "${@%-server}"; do
            if [[ -e /lib/systemd/system/$service.service ]]; then
                systemctl disable "$service" >/dev/null 2>&1 || true
            fi
        done
    ' install_packages "$@"
}
