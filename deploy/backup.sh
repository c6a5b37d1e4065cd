#!/bin/sh
# A backup of the database: deploy/backup.sh FOLDER. DATABASE_URL comes from the environment. Each is a
# file of its own, complete or not there at all. docs/backup.md says what it holds, and how to restore it.
set -eu
folder=${1:?usage: backup.sh FOLDER}
file=$folder/fundraiser-$(date -u +%Y%m%dT%H%M%SZ).dump
umask 077
pg_dump --format=custom --no-owner --no-privileges --file="$file.part" \
    --dbname="${DATABASE_URL:?is not set}"
pg_restore --list "$file.part" >/dev/null # it can be read to its end
mv "$file.part" "$file"
echo "$file"
