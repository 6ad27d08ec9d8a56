#!/usr/bin/env bash
# What resatlas does on a GPU, in less than nine minutes: writes benchmarks/gpu.json and benchmarks/gpu.md.
#
#     benchmarks/gpu.sh                                   # on the first GPU
#     benchmarks/gpu.sh --device cpu --small --out trial  # tries the program itself; its rates mean nothing
#
# It needs resatlas with torch, and for the peers `pip install resatlas[oracles]`; Fashion-MNIST has to be fetched before
# (`resatlas data fetch fashion-mnist`). Leave the machine alone meanwhile. NOT run on a GPU so far.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CUBLAS_WORKSPACE_CONFIG=${CUBLAS_WORKSPACE_CONFIG:-:4096:8} # --deterministic needs it before the first product
if [[ -x .venv/bin/python ]]; then python=.venv/bin/python; else python=python; fi
exec timeout 540 "${PYTHON:-$python}" -m resatlas.bench.gpu "$@"
