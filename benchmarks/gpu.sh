#!/bin/sh
# All checks that need a CUDA device, then the benchmarks on it, in one call of at most 8 minutes:
#     sh benchmarks/gpu.sh [PYTHON [FOLDER]]
# The figures are written to FOLDER, by default benchmarks/results. What the time isn't enough for is skipped, and says so.
set -eu
cd "$(dirname "$0")/.."
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" # nothing has to be installed but what is checked for below
python=${1:-python3}
out=${2:-benchmarks/results}
begun=$(date +%s)
limit=460   # seconds, for all of it
tests=220   # of them, at most, for the tests
reserve=100 # of them, for the longest benchmark once it has begun
"$python" - <<'CHECK'
import importlib.util as util
import sys
names = "torch torchvision kornia numpy PIL safetensors tqdm psutil hypothesis pytest pytest_benchmark pytest_timeout"
missing = [name for name in names.split() if util.find_spec(name) is None]
sys.exit(f"missing: {', '.join(missing)}; pip install '.[dev]'") if missing else None
import torch
sys.exit("no CUDA device") if not torch.cuda.is_available() else print(torch.cuda.get_device_name())
CHECK
failed=0 # what fails is told at the end: the figures of the rest are worth having
raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
# by file: the others import packages that a machine with a GPU may lack
# shellcheck disable=SC2046
timeout -s INT -k 10 "$tests" "$python" -m pytest -m gpu --timeout=120 $(grep -rlE --include='test_*.py' 'mark\.gpu' tests) || failed=$?
left=$((limit - reserve - $(date +%s) + begun))
timeout -s INT -k 10 $((left + reserve)) "$python" -m pytest benchmarks --budget="$left" --benchmark-json="$raw" \
    --benchmark-columns=median,iqr,ops --benchmark-group-by=group -rs || failed=$?
"$python" benchmarks/results.py "$raw" --out "$out" || failed=$?
echo "took $(($(date +%s) - begun)) s"
exit "$failed"
