#!/bin/sh
# Makes this folder's files again. The last word of a name is the extension that ImageMagick is given.
set -eu
cd "$(dirname "$0")"

for coding in none Fax Group4 RLE; do
    for fill in lsb msb; do
        for polarity in min-is-white min-is-black; do
            convert ramp.png -type Bilevel -depth 1 -compress "$coding" -define "quantum:polarity=$polarity" \
                -define "tiff:fill-order=$fill" "tiff:bilevel-$coding-$fill-$polarity.tif"
        done
    done
done
for depth in 2 4 8 16; do
    for coding in none LZW ZIP; do
        convert ramp.png -colorspace Gray -depth "$depth" -compress "$coding" "tiff:grey-$depth-$coding.tif"
    done
done
for type in 0 2 4 6; do
    for depth in 8 16; do
        convert ramp.png -interlace PNG -define "png:color-type=$type" -define "png:bit-depth=$depth" \
            "png:interlaced-$type-$depth.png"
    done
done
for depth in 10 12 14 32; do
    convert ramp.png -colorspace Gray -depth "$depth" -compress none "tiff:grey-$depth-none.tif"
done
for depth in 8 16; do
    convert ramp.png -colorspace Lab -depth "$depth" "tiff:lab-$depth.tif"
done
