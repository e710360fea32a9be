#!/bin/sh
# Brings the collector's databases up to date and makes what the stack needs in them. Safe to repeat.
# Needs the variables of collector_settings.py and bootstrap.py, and COLLECTOR_PASSWORD for the one user.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
umask 077
mkdir -p "$COLLECTOR_DATA"
export PYTHONPATH="$here" DJANGO_SETTINGS_MODULE=collector_settings
bugsink-manage migrate -v0 --no-input
bugsink-manage migrate -v0 --no-input --database=snappea
CREATE_SUPERUSER="admin@recsys.local:$COLLECTOR_PASSWORD" bugsink-manage prestart
bugsink-manage shell -v0 -c "$(cat "$here/bootstrap.py")"
