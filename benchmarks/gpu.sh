#!/bin/sh
# All checks that need a CUDA device, then the benchmarks on it, in one call of at most 8 minutes:
#     sh benchmarks/gpu.sh [PYTHON [FOLDER]]
# The figures are written to FOLDER, by default benchmarks/results. What the time isn't enough for is skipped, and says so.
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
out=${2:-benchmarks/results}
begun=$(date +%s)
limit=480  # seconds, for all of it
reserve=100 # of them, for the longest benchmark once it has begun
"$python" - <<'CHECK'
import importlib.util as util
import sys
missing = [name for name in ("torch", "kornia", "psutil", "pytest", "pytest_benchmark", "pytest_timeout") if util.find_spec(name) is None]
sys.exit(f"missing: {', '.join(missing)}; pip install '.[dev]'") if missing else None
import torch
sys.exit("no CUDA device") if not torch.cuda.is_available() else print(torch.cuda.get_device_name())
CHECK
failed=0 # what fails is told at the end: the figures of the rest are worth having
"$python" -m pytest -m gpu -p no:cacheprovider tests || failed=$?
left=$((limit - reserve - $(date +%s) + begun))
raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
"$python" -m pytest benchmarks --budget="$left" --benchmark-json="$raw" --benchmark-columns=median,iqr,ops --benchmark-group-by=group -rs || failed=$?
"$python" benchmarks/results.py "$raw" --out "$out"
echo "took $(($(date +%s) - begun)) s"
exit "$failed"
