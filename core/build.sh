#!/bin/sh
# The core, from Debian's clang-19 and lld-19 (1:19.1.7-3~deb12u1), the same bytes on every run: sdz.wasm beside this file, or the file named.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$here/sdz.wasm}")
cd "$here/src"
exec clang-19 --target=wasm32 -std=c11 -ffreestanding -nostdlib -O3 -msimd128 -mbulk-memory -mno-relaxed-simd -fno-math-errno -ffp-contract=off \
	-Wall -Wextra -Werror -Wno-unused-function -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536 -Wl,--max-memory=1073741824 \
	-o "$out" memory.c coder.c planes.c indices.c reconstruction.c alpha.c linear.c network.c kernels_simd.c
