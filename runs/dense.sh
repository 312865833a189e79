#!/usr/bin/env bash
# Makes src/antipodal/assets/models/dense/dense.onnx from nothing: procedural objects, labelled by the built-in network.
# Usage: runs/dense.sh [OUT]   (an hour on two cores; resumable; VIEWS and EPOCHS in the environment)
set -euo pipefail
out=${1:-out/dense} views=${VIEWS:-12000}
here=$(dirname "$0")
export OMP_NUM_THREADS=1
labelling=()
for k in 0 1; do
  "${PYTHON:-python}" "$here/dense.py" label "$out" --views "$views" --share "$k" 2 & labelling+=($!)
done
for process in "${labelling[@]}"; do wait "$process"; done
OMP_NUM_THREADS=2 "${PYTHON:-python}" "$here/dense.py" train "$out" --epochs "${EPOCHS:-12}"
