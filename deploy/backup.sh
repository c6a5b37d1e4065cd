#!/bin/sh
# Back up the database into a new file: deploy/backup.sh FOLDER, with DATABASE_URL set. An incomplete
# backup leaves no .dump file. docs/backup.md says what a backup contains and how to restore it.
set -eu
folder=${1:?usage: backup.sh FOLDER}
file=$folder/fundraiser-$(date -u +%Y%m%dT%H%M%SZ).dump
umask 077
pg_dump --format=custom --no-owner --no-privileges --file="$file.part" \
    --dbname="${DATABASE_URL:?is not set}"
pg_restore --list "$file.part" >/dev/null # can it be read?
mv "$file.part" "$file"
echo "$file"
