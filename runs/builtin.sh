#!/usr/bin/env bash
# Makes src/antipodal/assets/models/builtin.onnx from nothing: procedural objects only, no download.
# Usage: runs/builtin.sh [OUT]   (about an hour and a quarter on two cores; resumable)
set -euo pipefail
out=${1:-out/builtin}
[ -f "$out/objects/objects.json" ] || { rm -rf "$out/objects"; antipodal objects make -n 1750 --seed 1 -o "$out/objects"; }
antipodal generate "$out/objects" -o "$out/data" --preset builtin --n-datapoints 1200000 --workers 2 --seed 1
antipodal train "$out/data" -o "$out/run" --model compact --split object_wise --epochs 3
antipodal evaluate "$out/run" "$out/data" --plots "$out/evaluation"
antipodal export "$out/run" -o "$out/builtin.onnx"
