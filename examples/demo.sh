#!/usr/bin/env bash
# The whole life of a model, on made-up notes: train it, score it, code a note that it has never seen.
# `make demo` runs it; by hand: bash examples/demo.sh [FOLDER]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-build/demo}
nosology=${NOSOLOGY:-nosology}
mkdir -p "$out"

run() {
  printf '\n$ nosology %s\n' "$*"
  "$nosology" "$@"
}

run train simulated --out "$out/model" --overwrite
run evaluate "$out/model" --split dev
run code "$out/model" "$here/discharge_note.txt"
printf '\nThe model is in %s; its notes were made up, so it is for looking at, not for use.\n' "$out/model"
