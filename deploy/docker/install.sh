#!/bin/sh
# Installs sie-online with all it needs and its compiled kernels: install.sh EXTRAS PREFIX, in the root of its sources
#
#   EXTRAS   worker; or worker,trainer; or worker,lake
#   PREFIX   the environment to make, as /opt/sie; nothing in it is written to later
#
# Versions are those of constraints.txt. PYTHON is the interpreter (default: python3), TORCH_BACKEND which torch is
# wanted (uv's --torch-backend: cpu, cu126, …; default: PyPI's, with CUDA). Images run it, and so does a test.
set -eu

extras=$1
prefix=$2
sources=$(mktemp -d)
trap 'rm -rf "$sources"' EXIT

command -v uv >/dev/null || python3 -m pip install --quiet --no-cache-dir --root-user-action=ignore --constraint constraints.txt uv

uv venv --quiet --python "${PYTHON:-python3}" "$prefix"
cp -R . "$sources" # building writes beside what it builds
uv pip install --quiet --python "$prefix/bin/python" --constraint constraints.txt \
    ${TORCH_BACKEND:+--torch-backend "$TORCH_BACKEND"} "$sources[$extras]"

# Where a wheel brings them: found first, and written to never
package=$("$prefix/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sie_online
SIE_CACHE_DIR=${SIE_CACHE_DIR:-$sources/cache} "$prefix/bin/sie" kernels --copy-to "$package/_kernels"
