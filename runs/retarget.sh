#!/usr/bin/env bash
# The run of docs/retarget.md: household shapes, the Franka hand, a RealSense D435, the smallest budget.
# MESHES: a folder of meshes in metres, ContactDB's 50 there.
# Usage: runs/retarget.sh MESHES [OUT]   (resumable; OUT/bench/report.html, OUT/summary.json)
set -euo pipefail
antipodal retarget --meshes "$1" --mesh-unit m --gripper franka_hand --camera realsense_d435 --budget 15min \
  --workers 2 --seed 0 -o "${2:-out/retarget}"
