#!/bin/sh
# Makes /opt/venv from a locked list of wheels, and /opt/build with the build tools of our own packages.
set -eu
python3 -m venv /opt/build
/opt/build/bin/pip install --quiet --require-hashes --only-binary :all: -r requirements/images/build.txt
python3 -m venv /opt/venv
/opt/venv/bin/pip install --quiet --require-hashes --only-binary :all: -r "$1"
# Nothing at run time installs packages, reads Arrow's headers, speaks Flight, or runs the libraries' own tests; S3 is
# fsspec's, not Arrow's.
/opt/venv/bin/pip uninstall --quiet --yes pip setuptools
site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cd "$site"
rm -rf pyarrow/include pyarrow/src pyarrow/*.pyx pyarrow/*.pxd pyarrow/*.pxi \
  pyarrow/libarrow_flight* pyarrow/libarrow_python_flight* pyarrow/_flight* pyarrow/libarrow_s3* pyarrow/_s3fs*
find . -type d -name tests -prune -exec rm -rf {} +
