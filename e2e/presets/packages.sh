#!/bin/sh
# Installs the servers that the preset tests run, from Debian's packages, without starting any of them. Does nothing when
# all of them are there. Needs root and Debian 12 or a relative of it.
set -eu

# What is started, and what belongs to it: validators, a way to ask for the version in use, and python3 for a hog.
packages="nginx-light haproxy apache2 caddy squid php-fpm uwsgi-core uwsgi-plugin-python3 gunicorn
    postgresql pgbouncer nats-server bind9 bind9-utils unbound dnsmasq-base mosquitto
    prometheus prometheus-alertmanager prometheus-blackbox-exporter python3 procps"

missing=""
for package in $packages; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
        installed) ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "inpod: the preset tests need real servers; as root on Debian they are installed, here they are not:$missing" >&2
    exit 1
fi
# One apt-get at a time; see tools/need.sh.
mkdir -p /run/lock
exec 9>/run/lock/inpod-apt
flock 9
echo "installing Debian packages of servers, which are not started:$missing" >&2

# The rule by which packages ask whether they may start what they installed. One that is there is put back.
policy=/usr/sbin/policy-rc.d
restore() {
    rm -f "$policy"
    [ ! -e "$policy.inpod" ] || mv "$policy.inpod" "$policy"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
[ ! -e "$policy" ] || mv "$policy" "$policy.inpod"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 0755 "$policy"

log=$(mktemp)
install() {
    # shellcheck disable=SC2086 # a list of packages
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
}
# A machine that has never fetched package lists fails the first attempt; then the lists are fetched.
if ! install >"$log" 2>&1; then
    if ! { apt-get update -q -o DPkg::Lock::Timeout=300 && install; } >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        echo "inpod: could not install$missing; the output is above." >&2
        exit 1
    fi
fi
rm -f "$log"
