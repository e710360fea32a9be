#!/bin/sh
# Migrates the collector's databases and creates the stack's entries in them. Safe to repeat.
# Needs the variables of collector_settings.py and bootstrap.py, and COLLECTOR_PASSWORD for the one user.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
umask 077
mkdir -p "$COLLECTOR_DATA"
# The image contains migrated databases: a hundred migrations take a minute or more on a busy machine.
for database in "$here"/migrated/*.sqlite3; do
  target="$COLLECTOR_DATA/${database##*/}"
  if [ -e "$database" ] && [ ! -e "$target" ]; then cp "$database" "$target.part" && mv "$target.part" "$target"; fi
done
sh "$here/migrate.sh"
export PYTHONPATH="$here" DJANGO_SETTINGS_MODULE=collector_settings
CREATE_SUPERUSER="admin@recsys.local:$COLLECTOR_PASSWORD" bugsink-manage prestart
bugsink-manage shell -v0 -c "$(cat "$here/bootstrap.py")"
