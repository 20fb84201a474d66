#!/bin/sh
# From nothing to masks and pictures on generated images: the tour of the README, in minutes.
set -eu

run=$1
here=$(dirname "$0")
config=$here/demo.toml
mark=$run/.demo

if [ -e "$run" ] && [ ! -e "$mark" ] && [ -n "$(ls -A "$run")" ]; then
    echo "$run is not empty, and not from an earlier demo: name a new folder, make demo DEMO=..." >&2
    exit 2
fi
mkdir -p "$run"
: > "$mark"
for made in search genotype.json cells.svg cells.png searched none new_images predicted; do
    rm -rf "${run:?}/$made"
done

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
step python "$here/write_images.py" "$run/new_images"
step nas-predict "$run/searched" "$run"/new_images/*.png -o "$run/predicted" --overlays

cat <<END

Done. Look at:
  $run/cells.svg                            the derived cells
  $run/search/pictures/                     probabilities and predictions over the search
  $run/searched/evaluation/test/cases.png   best, median and worst test images
  $run/searched/pictures/curves.png         learning curves
  $run/predicted/                           masks of new images, and overlays
  tensorboard --logdir $run
END
