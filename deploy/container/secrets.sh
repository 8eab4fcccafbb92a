#!/bin/sh
# Make the secrets that compose.yaml names; those that are there stay.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
chmod 700 secrets # no other user of this machine gets in; compose mounts the files one by one, so containers still can

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

keep() { # NAME VALUE
    [ -s "secrets/$1" ] || printf '%s' "$2" >"secrets/$1"
    chmod 644 "secrets/$1" # compose hands the files over as they are: the containers' users must be able to read them
}

keep secret_key "$(random)"
keep database_password "$(random)"
keep broker_password "$(random)"
keep broker_url "redis://:$(cat secrets/broker_password)@redis:6379/0"
keep database_url "postgresql+psycopg://carboy:$(cat secrets/database_password)@postgres:5432/carboy"
