#!/usr/bin/env bash
# Track B of docs/benchmark.md: piles of five objects, 100 rounds for each of five seeds, the same piles for every planner.
# Usage: runs/clutter.sh MESHES [OUT] [PLANNER…]   (resumable; ROUNDS and SEEDS in the environment for less)
# About 2 s of one core a round and planner plus its plans: four planners take about an hour on two cores.
set -euo pipefail
meshes=$1 out=${2:-out/clutter}
shift; [ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- builtin-cem builtin-fixed heuristic igq random
for seed in ${SEEDS:-0 1 2 3 4}; do
  antipodal bench clutter --policy "$@" --objects "$meshes" --rounds "${ROUNDS:-100}" --seed "$seed" \
    --cache "$out/pieces" -o "$out/seed-$seed"
done
"${PYTHON:-python}" "$(dirname "$0")/clutter_table.py" "$out"
