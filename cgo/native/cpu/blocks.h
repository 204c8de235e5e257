// Layout of the quantized blocks that have an own unpacker, as ggml-common.h defines it
// (that header is not part of ggml's public interface). Weight = what the comment says,
// d, m, dmin being half precision.
#pragma once

#include <stdint.h>

namespace steer {

struct BlockQ4_0 { // d (q - 8); element i in the low half of qs[i], i + 16 in the high half
    uint16_t d;
    uint8_t  qs[16];
};

struct BlockQ4_1 { // d q + m; as Q4_0
    uint16_t d, m;
    uint8_t  qs[16];
};

struct BlockQ5_0 { // d (q - 16); fifth bit of element i is bit i of qh
    uint16_t d;
    uint8_t  qh[4];
    uint8_t  qs[16];
};

struct BlockQ5_1 { // d q + m; as Q5_0
    uint16_t d, m;
    uint8_t  qh[4];
    uint8_t  qs[16];
};

struct BlockQ8_0 { // d q
    uint16_t d;
    int8_t   qs[32];
};

struct BlockQ4_K { // (d sc_j) q - (dmin m_j), j = one of 8 groups of 32; groups 2i, 2i+1 share 32 bytes
    uint16_t d, dmin;
    uint8_t  scales[12];
    uint8_t  qs[128];
};

struct BlockQ5_K { // as Q4_K; fifth bit of element i of group j is bit j of qh[i]
    uint16_t d, dmin;
    uint8_t  scales[12];
    uint8_t  qh[32];
    uint8_t  qs[128];
};

struct BlockQ6_K { // (d sc_j) (q - 32), j = one of 16 groups of 16
    uint8_t  ql[128];
    uint8_t  qh[64];
    int8_t   scales[16];
    uint16_t d;
};

static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
                  sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_K) == 144 &&
                  sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210,
              "block layout");

} // namespace steer
