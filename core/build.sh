#!/bin/sh
# The core's modules, from Debian's clang-19 and lld-19 (1:19.1.7-3~deb12u1), the same bytes on every run: sdz.wasm, reader.wasm, which is the same
# without what encoders, tools and tests call, and lossless.wasm beside this file, or in the folder named. With FUZZ set, sdz.wasm holds the
# tail's coder too, and the fuzzer's calls.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here}")
objects=$(mktemp -d)
trap 'rm -r "$objects"' EXIT
cd "$here/src"
compile() { # level, files: what runs per decision or per pixel is made fast, the rest small
	level=$1
	shift
	for file in "$@"; do
		clang-19 --target=wasm32 -std=c11 -ffreestanding -nostdlib "$level" -msimd128 -mbulk-memory -mno-relaxed-simd -fno-math-errno -ffp-contract=off \
			-Wall -Wextra -Werror -Wno-unused-function $define -c -o "$objects/$(basename "$file" .c).o" "$file"
	done
}
link() { # module, objects
	module=$1
	shift
	wasm-ld-19 --no-entry --strip-all -z stack-size=65536 --max-memory=1073741824 -o "$out/$module.wasm" "$@"
}
core="memory.o coder.o tables.o regions.o picture.o schedule.o pyramid.o means.o channels.o groups.o indices.o reconstruction.o alpha.o linear.o upper.o weights.o
	network.o kernels_simd.o"
for define in -DSDZ_READER ""; do
	compile -O2 planes/channels.c kernels_simd.c reconstruction.c linear.c upper.c
	compile -Os memory.c coder.c tables.c regions.c planes/picture.c planes/schedule.c planes/means.c planes/pyramid.c planes/groups.c indices.c alpha.c networks/weights.c networks/network.c
	[ -z "$define" ] || (cd "$objects" && link reader $core)
done
compile -O2 lossless/predictor.c lossless/tail.c
[ -z "${FUZZ:-}" ] || compile -Os ../fuzz.c
cd "$objects"
link sdz $core ${FUZZ:+fuzz.o predictor.o tail.o}
link lossless memory.o coder.o predictor.o tail.o
