#!/usr/bin/env bash
# The paper's data set at its full size: 1,500 objects, 100 grasps each, every aligned grasp in 37 images of each stable
# pose, 6.7 million datapoints, 21 % of them positive (docs/reproducing-dexnet2.md says how that was calibrated).
# Usage: runs/dexnet2.sh [--gpu] [OUT]   (12 minutes on two cores; 9 GB; resumable)
# --gpu: afterwards GQ-CNN 2.0 on all of it, the paper's five epochs, on every GPU that torch sees; on two cores the
# same takes most of a day.
set -euo pipefail
gpu=no
if [ "${1:-}" = --gpu ]; then
  gpu=yes
  shift
  n=$("${PYTHON:-python}" -c 'import torch; print(torch.cuda.device_count())')
  [ "$n" -gt 0 ] || { echo "dexnet2.sh --gpu: torch sees no GPU: install its CUDA build, or leave --gpu out" >&2; exit 1; }
  [ $((128 % n)) = 0 ] || { echo "dexnet2.sh --gpu: $n GPUs do not divide a batch of 128: set CUDA_VISIBLE_DEVICES" >&2; exit 1; }
fi
out=${1:-out/dexnet2}
# household shapes, in the shares whose pilot matched the paper's positives; the paper's 3DNet and KIT models are not free
families="superquadric metaballs ring boolean_mixture bracket superquadric bottle carton blob metaballs extrusion bracket \
superquadric ring boolean_mixture bracket"
[ -f "$out/objects/objects.json" ] || antipodal objects make -n 1500 --seed 3 -o "$out/objects" --families $families
antipodal generate "$out/objects" -o "$out/data" --preset paper --images-per-pose 37 --workers "$(getconf _NPROCESSORS_ONLN)" --seed 3
antipodal dataset info "$out/data" --plots "$out/data-plots"
if [ $gpu = yes ]; then
  # 13 GiB of crops in every GPU's process: kept, not read again in each epoch
  antipodal train "$out/data" -o "$out/gqcnn20" --model paper --precision bfloat16 --memory 16
  antipodal evaluate "$out/gqcnn20" "$out/data" --plots "$out/evaluation"
  antipodal export "$out/gqcnn20" -o "$out/gqcnn20.onnx"
fi
