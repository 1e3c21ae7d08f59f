#!/bin/sh
# Installs the servers that the preset tests run, from Debian's packages, without starting any of them.
# Needs root and Debian 12 or a relative of it.
set -eu
export DEBIAN_FRONTEND=noninteractive
if [ ! -e /usr/sbin/policy-rc.d ]; then
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 0755 /usr/sbin/policy-rc.d
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
apt-get update -q
apt-get install -q -y --no-install-recommends \
    nginx-light haproxy apache2 caddy squid php-fpm uwsgi-core uwsgi-plugin-python3 gunicorn \
    postgresql pgbouncer nats-server bind9 bind9-utils unbound dnsmasq-base mosquitto \
    prometheus prometheus-alertmanager prometheus-blackbox-exporter
