#!/usr/bin/env bash
# Makes src/antipodal/assets/models/builtin.onnx from nothing: procedural objects only, no download. First the YuMi's data
# alone, then the Franka's, the Robotiq's and twelve drawn hands' beside them.
# Usage: runs/builtin.sh [OUT]   (about two hours on two cores; resumable)
set -euo pipefail
out=${1:-out/builtin}
[ -f "$out/objects/objects.json" ] || antipodal objects make -n 1750 --seed 1 -o "$out/objects"
antipodal generate "$out/objects" -o "$out/data" --preset builtin --n-datapoints 1200000 --workers 2 --seed 1
antipodal train "$out/data" -o "$out/yumi" --model compact --split object_wise --epochs 3
"${PYTHON:-python}" "$(dirname "$0")/hands.py" "$out/objects" "$out/data" -o "$out/hands"
antipodal train "$out/hands/joined" -o "$out/run" --model compact --split object_wise --epochs 1 --from "$out/yumi" --learning-rate 0.001
antipodal evaluate "$out/run" "$out/hands/joined" --plots "$out/evaluation"
antipodal export "$out/run" -o "$out/builtin.onnx"
