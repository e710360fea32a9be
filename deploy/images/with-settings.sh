#!/bin/sh
# Runs a command with the variables that `setup` left for this container; one that is set already keeps its value.
set -eu
settings=${SETTINGS_FILE:-/var/lib/recsys/env}
if [ -r "$settings" ]; then
  while IFS= read -r line; do
    name=${line%%=*}
    eval "given=\${$name:-}"
    [ -n "$given" ] || eval "export $line"
  done <"$settings"
fi
[ -z "${TMPDIR:-}" ] || mkdir -p "$TMPDIR"
exec "$@"
