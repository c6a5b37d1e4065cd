#!/bin/sh
# Restore a backup into the empty database of DATABASE_URL: deploy/restore.sh FILE. Workers wait and
# nobody can join until `fundraiser restore-check` has fetched what happened since the backup.
set -eu
file=${1:?usage: restore.sh FILE}
: "${DATABASE_URL:?is not set}"
tables=$(psql --no-psqlrc --tuples-only --no-align --dbname="$DATABASE_URL" \
    --command="SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
if [ "$tables" -ne 0 ]; then
    echo "This database is not empty. Create another, and name it in DATABASE_URL." >&2
    exit 1
fi
pg_restore --exit-on-error --single-transaction --no-owner --no-privileges \
    --dbname="$DATABASE_URL" "$file"
fundraiser migrate
fundraiser maintenance stop restore
echo "Restored. Now run: fundraiser restore-check"
