#!/bin/sh
# Installs our own packages into /opt/app, and fails if one needs a package that isn't in the lock.
set -eu
for folder in "$@"; do
  # With the dot: a bare name would be looked up in the package index.
  /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /tmp/wheels "./$folder"
done
/opt/build/bin/pip install --quiet --no-deps --no-index --target /opt/app /tmp/wheels/*.whl
# The scripts name the Python that has installed them, which the image doesn't have.
find /opt/app -path '/opt/app/bin/*' -type f -exec sed -i '1s|^#!.*|#!/opt/venv/bin/python|' {} +
/opt/venv/bin/python -m compileall -q /opt/app
PYTHONPATH=/opt/app /opt/build/bin/pip --python /opt/venv/bin/python check
