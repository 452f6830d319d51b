#!/bin/sh
# All checks that need a CUDA device, then all benchmarks on it, in one call: sh benchmarks/gpu.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
"$python" -c 'import torch; assert torch.cuda.is_available(), "no CUDA device"; print(torch.cuda.get_device_name())'
"$python" -m pytest -m gpu -p no:cacheprovider tests
"$python" -m pytest benchmarks --benchmark-columns=median,iqr,ops --benchmark-group-by=group
