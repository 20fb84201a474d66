#!/bin/sh
# From nothing to masks and pictures on generated images: the tour of the README, in minutes.
set -eu

run=$1
here=$(dirname "$0")
config=$here/demo.toml
rm -rf "$run"
mkdir -p "$run"

step() {
    printf '\n\033[1m%s\033[0m\n' "$*"
    "$@"
}

step nas-search --config "$config" --run-dir "$run/search"
step nas-derive "$run/search" -o "$run/genotype.json"
step nas-render "$run/genotype.json" -o "$run/cells.svg"
step nas-render "$run/genotype.json" -o "$run/cells.png"
step nas-retrain --config "$config" --genotype "$run/genotype.json" --epochs 30 --run-dir "$run/searched"
step nas-evaluate "$run/searched"
step nas-retrain --config "$config" --discriminator none --epochs 30 --run-dir "$run/none"
step nas-evaluate "$run/none"

cat <<END

Done. Look at:
  $run/cells.svg                            the derived cells
  $run/search/pictures/                     probabilities and predictions over the search
  $run/searched/evaluation/test/cases.png   best, median and worst test images
  $run/searched/pictures/curves.png         learning curves
  tensorboard --logdir $run
END
