#!/usr/bin/env bash
# Track B of docs/benchmark.md: piles of five objects, ROUNDS for each of SEEDS, the same piles for every planner. With an 8 cm
# hand, as the protocol's authors: most of what fits a 5 cm jaw somewhere does not as it lies in a pile.
# Usage: runs/clutter.sh MESHES [OUT] [PLANNER…]   (resumable; ROUNDS, SEEDS and GRIPPER in the environment for others)
# Three seconds of one core a round and planner: 100 rounds × 5 seeds × 4 planners take 50 minutes on two cores, after
# the meshes' convex pieces.
set -euo pipefail
meshes=$1 out=${2:-out/clutter}
shift; [ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- builtin-cem builtin-fixed heuristic random
for seed in ${SEEDS:-0 1 2 3 4}; do
  antipodal bench clutter --policy "$@" --objects "$meshes" --rounds "${ROUNDS:-100}" --seed "$seed" \
    --gripper "${GRIPPER:-franka_hand}" --cache "$out/pieces" -o "$out/seed-$seed"
done
"${PYTHON:-python}" "$(dirname "$0")/clutter_table.py" "$out"
