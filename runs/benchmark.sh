#!/usr/bin/env bash
# The table of docs/benchmark.md: every planner on the same lifts. MESHES: a folder of meshes in metres that nothing here was
# trained on; RIVALS: a folder with Berkeley's GQCNN-4.0-PJ and FC-GQCNN-4.0-PJ, which are read and not copied.
# Usage: runs/benchmark.sh MESHES RIVALS [OUT]   (about three hours on two cores, half of it training; resumable)
set -euo pipefail
meshes=$1 rivals=$2 out=${3:-out/benchmark}
mkdir -p "$out"
for name in GQCNN-4.0-PJ FC-GQCNN-4.0-PJ; do
  [ -f "$out/$name.onnx" ] || antipodal import-berkeley "$rivals/$name" -o "$out/$name.onnx"
done
[ -f "$out/baselines/svm.npz" ] || runs/baselines.sh "$out/baselines"
if [ ! -f "$out/gqcnn20.onnx" ]; then
  [ -f "$out/objects/objects.json" ] || antipodal objects make -n 1500 --seed 3 -o "$out/objects" \
    --families superquadric metaballs ring boolean_mixture bracket superquadric bottle carton blob metaballs extrusion \
    bracket superquadric ring boolean_mixture bracket
  antipodal generate "$out/objects" -o "$out/data" --preset paper --images-per-pose 2 --workers 2 --seed 3
  antipodal train "$out/data" -o "$out/gqcnn" --model paper --split object_wise --epochs 1 --precision bfloat16
  antipodal export "$out/gqcnn" -o "$out/gqcnn20.onnx"
fi
rival="$out/GQCNN-4.0-PJ.onnx" rival_fc="$out/FC-GQCNN-4.0-PJ.onnx"
planners="oracle builtin-cem builtin-cem-bfloat16 builtin-fixed builtin-dense builtin-dense-fast heuristic reg igq random rf:$out/baselines/forest.npz svm:$out/baselines/svm.npz \
gqcnn-fixed:$out/gqcnn20.onnx gqcnn-cem:$out/gqcnn20.onnx rival:$rival rival:$rival_fc rival-clear:$rival rival-clear:$rival_fc"
antipodal bench run --policy $planners --objects "$meshes" --trials 5 --cache "$out/pieces" -o "$out/dexnet" --seed 0
for seed in 1 2 3; do
  antipodal bench run --policy oracle builtin-fixed builtin-cem builtin-dense builtin-dense-fast heuristic rival-clear:$rival_fc --objects "$meshes" --trials 5 \
    --cache "$out/pieces" -o "$out/seed$seed" --seed "$seed"
done
for how in "franka --gripper franka_hand" "robotiq --gripper robotiq_2f85" "transfer --camera transfer" "error --execution-error-mm 0 5"; do
  antipodal bench run --policy oracle builtin-fixed builtin-cem builtin-dense builtin-dense-fast heuristic rival-clear:$rival_fc --objects "$meshes" --trials 2 \
    --cache "$out/pieces" -o "$out/${how%% *}" --seed 0 ${how#* }
done
antipodal bench run --policy oracle builtin-fixed builtin-cem builtin-dense heuristic rival:$rival rival:$rival_fc rival-clear:$rival rival-clear:$rival_fc \
  --objects "$meshes" --trials 5 --camera rival --cache "$out/pieces" -o "$out/rival" --seed 0
"${PYTHON:-python}" "$(dirname "$0")/benchmark_table.py" "$out"
"${PYTHON:-python}" "$(dirname "$0")/seeds_table.py" "$out"/dexnet "$out"/seed[123]
