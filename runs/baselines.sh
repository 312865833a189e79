#!/usr/bin/env bash
# The paper's learned baselines, ML-RF and ML-SVM, from nothing: objects → data set → OUT/forest.npz, OUT/svm.npz and
# their scores in OUT/baselines.json. Two cores, some minutes. Usage: runs/baselines.sh [OUT] [DATASET]
set -euo pipefail
out=${1:-out/baselines}
data=${2:-$out/data}
if [ $# -lt 2 ]; then
  [ -f "$out/objects/objects.json" ] || antipodal objects make -n 240 --seed 1 -o "$out/objects"
  antipodal generate "$out/objects" -o "$data" --preset builtin --n-datapoints 120000 --workers 2 --seed 1
fi
python -c 'import sys; from antipodal.bench.learning import train_baselines; train_baselines(*sys.argv[1:])' "$data" "$out"
cat "$out/baselines.json"
