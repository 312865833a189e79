#!/usr/bin/env bash
# The whole chain at toy size: objects → data set → network → ONNX. Two cores, a few minutes.
# Usage: runs/mini.sh [OUT]
set -euo pipefail
out=${1:-out/mini}
antipodal objects make -n 24 --seed 0 -o "$out/objects"
antipodal generate "$out/objects" -o "$out/data" --preset builtin --n-datapoints 12000 --workers 2 --seed 0
antipodal dataset info "$out/data" --plots "$out/data-plots"
antipodal train "$out/data" -o "$out/run" --model compact --epochs 3
antipodal evaluate "$out/run" "$out/data" --plots "$out/evaluation"
antipodal export "$out/run" -o "$out/mini.onnx"
