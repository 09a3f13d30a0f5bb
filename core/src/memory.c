/* Memory: blocks in one list, first fit, neighbours joined; every block says what it is and whose.
 *
 * In WebAssembly the list is in the order of addresses and covers the heap without gaps. Natively each block is one of malloc's, so that a
 * sanitizer sees every access beyond one.
 */
#include "internal.h"

#ifndef __wasm__
#include <stdlib.h>
#include <string.h>
#endif

typedef struct Block {
  struct Block *next;
  const void *owner;
  u32 bytes;
  u16 kind, spare; /* spare: bytes more than were asked for */
#ifdef __wasm__
} Block;
_Static_assert(sizeof(Block) == 16, "payloads are 16-byte aligned");
#else
} __attribute__((aligned(16))) Block;
#endif

static Block *blocks;
static u64 limit = 1u << 30, held;
static i32 reason, where = -1;

i32 fail(i32 why, i32 place) {
  reason = why;
  where = place;
  return -why;
}
int32_t sdz_reason(void) { return reason; }
int32_t sdz_where(void) { return where; }

#ifdef __wasm__
/* The compiler asks for these two; with bulk memory each is one instruction. */
void *memset(void *d, int c, size_t n) { return __builtin_memset(d, c, n); }
void *memcpy(void *d, const void *s, size_t n) { return __builtin_memcpy(d, s, n); }

extern u8 __heap_base;

INLINE u8 *end_of(const Block *b) { return (u8 *)(b + 1) + b->bytes; }

/* Makes the heap reach up to `end`. */
static i32 reach(u64 end) {
  u64 have = (u64)__builtin_wasm_memory_size(0) << 16;
  if (end <= have) return 1;
  return __builtin_wasm_memory_grow(0, (u32)((end - have + 65535) >> 16)) != (size_t)-1;
}

static Block *find_room(u32 bytes) {
  Block *b = blocks, *last = 0;
  for (; b; last = b, b = b->next) {
    if (b->kind != FREE) continue;
    while (b->next && b->next->kind == FREE) {
      b->bytes = (u32)(end_of(b->next) - (u8 *)(b + 1));
      b->next = b->next->next;
    }
    if (b->bytes < bytes && !b->next) { /* the last one may grow */
      if (!reach((u32)(b + 1) + (u64)bytes)) return 0;
      b->bytes = bytes;
    }
    if (b->bytes < bytes) continue;
    if (b->bytes >= bytes + 64) {
      Block *rest = (Block *)((u8 *)(b + 1) + bytes);
      rest->next = b->next;
      rest->bytes = b->bytes - bytes - (u32)sizeof(Block);
      rest->kind = FREE;
      b->next = rest;
      b->bytes = bytes;
    }
    return b;
  }
  u8 *at = last ? end_of(last) : (u8 *)(((u32)&__heap_base + 15) & ~15u);
  if (!reach((u32)at + sizeof(Block) + (u64)bytes)) return 0;
  b = (Block *)at;
  b->next = 0;
  b->bytes = bytes;
  if (last) last->next = b;
  else blocks = b;
  return b;
}

static void drop(Block *b) { b->kind = FREE; }
#else
static Block *find_room(u32 bytes) {
  Block *b = malloc(sizeof(Block) + (size_t)bytes);
  if (!b) return 0;
  b->next = blocks;
  b->bytes = bytes;
  return blocks = b;
}

static void drop(Block *b) {
  Block **link = &blocks;
  while (*link != b) link = &(*link)->next;
  *link = b->next;
  free(b);
}
#endif

void *take(u64 bytes, u32 kind, const void *owner) {
#ifdef __wasm__
  u64 rounded = (bytes + 15) & ~15ull;
#else
  u64 rounded = bytes; /* exactly what was asked for: a sanitizer then sees the first byte too many */
#endif
  Block *b = held + rounded <= limit && rounded <= limit ? find_room((u32)rounded) : 0;
  if (!b) {
    fail(SDZ_NO_MEMORY, -1);
    return 0;
  }
  held += b->bytes;
  b->kind = (u16)kind, b->spare = (u16)(b->bytes - (u32)bytes);
  b->owner = owner;
  if (kind != BUFFER) __builtin_memset(b + 1, 0, (size_t)rounded);
  return b + 1;
}

static Block *block_at(const void *memory) {
  for (Block *b = blocks; b; b = b->next) if ((void *)(b + 1) == memory) return b->kind == FREE ? 0 : b;
  return 0;
}

void give(void *memory) {
  Block *b = memory ? block_at(memory) : 0;
  if (!b) return;
  for (Block *part = blocks, *next; part; part = next) {
    next = part->next;
    if (part->kind == PART && part->owner == memory) {
      held -= part->bytes;
      drop(part);
    }
  }
  held -= b->bytes;
  drop(b);
}

void give_scratch(void) {
  for (Block *b = blocks, *next; b; b = next) {
    next = b->next;
    if (b->kind == SCRATCH) {
      held -= b->bytes;
      drop(b);
    }
  }
}

i32 holds(const void *memory, u64 count, u32 size) {
  uintptr_t at = (uintptr_t)memory;
  if (!memory || (size > 1 && at % size)) return 0;
  for (Block *b = blocks; b; b = b->next) {
    uintptr_t from = (uintptr_t)(b + 1);
    if (b->kind != FREE && at >= from && at - from <= b->bytes - b->spare) return count * size <= b->bytes - b->spare - (at - from);
  }
  return 0;
}

i32 is_a(const void *object, u32 kind) {
  Block *b = object ? block_at(object) : 0;
  return b && b->kind == kind;
}

void *sdz_alloc(uint32_t bytes) { return take(bytes, BUFFER, 0); }

void sdz_free(void *object) {
  Block *b = object ? block_at(object) : 0;
  if (b && b->kind != PART && b->kind != SCRATCH) give(object);
}

uint32_t sdz_limit(uint32_t bytes) {
  if (bytes) limit = bytes;
  return (u32)held;
}
