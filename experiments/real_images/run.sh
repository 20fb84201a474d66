#!/bin/sh
# For each seed: search, derive, then the same retraining against the searched discriminator,
# against ResNet10 and against none, and an evaluation of each on the test images. Masks of the first
# test images, as nas-predict writes them for any image, are in predicted/.
#
#   run.sh RECIPE OUT "SEEDS" SEARCH_EPOCHS [further options of the data, such as --data-root DIR]
set -eu

recipe=$1 out=$2 seeds=$3 search_epochs=$4
here=$(dirname "$0")
shift 4

for seed in $seeds; do
    export run="$out/seed$seed"
    mkdir -p "$run"
    nas-search --config "$recipe" --seed "$seed" --epochs "$search_epochs" --run-dir "$run/search" "$@"
    nas-derive "$run/search" -o "$run/genotype.json"
    nas-render "$run/genotype.json" -o "$run/cells.svg"
    for discriminator in none "resnet10?width=16" "$run/genotype.json"; do
        name=$(basename "${discriminator%%\?*}" .json)
        nas-retrain --config "$recipe" --seed "$seed" --discriminator "$discriminator" \
            --run-dir "$run/$name" "$@"
        nas-evaluate "$run/$name"
    done
    python "$here/list_test_images.py" "$run/genotype" |
        xargs -0 sh -c 'nas-predict "$run/genotype" "$@" -o "$run/predicted" --overlays' sh
done
