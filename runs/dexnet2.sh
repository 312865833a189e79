#!/usr/bin/env bash
# The paper's data set at its full size: 1,500 objects, 100 grasps each, every aligned grasp in 37 images of each stable
# pose, 6.7 million datapoints, 21 % of them positive (docs/reproducing-dexnet2.md says how that was calibrated).
# Usage: runs/dexnet2.sh [OUT]   (two cores; 9 GB; resumable)
set -euo pipefail
out=${1:-out/dexnet2}
# household shapes, in the shares whose pilot matched the paper's positives; the paper's 3DNet and KIT models are not free
families="superquadric metaballs ring boolean_mixture bracket superquadric bottle carton blob metaballs extrusion bracket \
superquadric ring boolean_mixture bracket"
[ -f "$out/objects/objects.json" ] || { rm -rf "$out/objects"; antipodal objects make -n 1500 --seed 3 -o "$out/objects" --families $families; }
antipodal generate "$out/objects" -o "$out/data" --preset paper --images-per-pose 37 --workers 2 --seed 3
antipodal dataset info "$out/data" --plots "$out/data-plots"
