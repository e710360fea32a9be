#!/bin/sh
# Migrates the databases in $COLLECTOR_DATA. Needs the variables of collector_settings.py.
set -eu
export PYTHONPATH="$(cd "$(dirname "$0")" && pwd)" DJANGO_SETTINGS_MODULE=collector_settings
mkdir -p "$COLLECTOR_DATA"
bugsink-manage migrate -v0 --no-input
bugsink-manage migrate -v0 --no-input --database=snappea
