#!/bin/sh
# For each seed: three searches (FlexVGG against the preset 003, ConcatenationFCN alone, both at
# once), what they derive, and the same retraining of these and of the published presets.
#
#   run.sh OUT "SEEDS" [further options of the data, such as --data-root DIR]
set -eu

recipe=$(dirname "$0")/hippocampus.toml
out=$1 seeds=$2
shift 2

segmenter_003="concatenation_fcn?preset=003&normalisation=group"
segmenter_005="concatenation_fcn?preset=005&normalisation=group"
optimised="flexvgg?preset=optimised&normalisation=group"

for seed in $seeds; do
    run=$out/seed$seed
    mkdir -p "$run"

    search() {
        name=$1
        shift
        nas-search --config "$recipe" --seed "$seed" --run-dir "$run/search_$name" "$@"
        nas-derive "$run/search_$name" -o "$run/$name.json"
    }
    retrain() {
        name=$1 backbone=$2 discriminator=$3
        shift 3
        nas-retrain --config "$recipe" --seed "$seed" --backbone "$backbone" \
            --discriminator "$discriminator" --run-dir "$run/$name" "$@"
        nas-evaluate "$run/$name"
    }

    search d --backbone "$segmenter_003" --space flexvgg "$@"
    search s --backbone search:concatenation_fcn --space none "$@"
    search joint --backbone search:concatenation_fcn --space flexvgg "$@"
    for genotype in d s joint.segmenter joint.discriminator; do
        nas-render "$run/$genotype.json" -o "$run/$genotype.svg"
    done

    retrain 003 "$segmenter_003" none "$@"
    retrain 005 "$segmenter_005" none "$@"
    retrain 003_optimised "$segmenter_003" "$optimised" "$@"
    retrain 003_d "$segmenter_003" "$run/d.json" "$@"
    retrain s "$run/s.json" none "$@"
    retrain joint "$run/joint.segmenter.json" "$run/joint.discriminator.json" "$@"
done
