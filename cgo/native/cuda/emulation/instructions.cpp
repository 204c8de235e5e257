// instructions.cpp: the instructions that cuda_emulation.h lists: copies on their own, numbers of 16 bits, products
// of matrices.
#include "scheduler.h"

#include <deque>
#include <vector>

namespace emulation {

namespace {

// An asynchronous copy under way, of zeros unless valid.
struct Copy {
    void *       to;
    const void * from;
    int          bytes;
    bool         valid;
};
// Of each thread of the block: groups, the last one open.
std::vector<std::deque<std::vector<Copy>>> copies;

std::deque<std::vector<Copy>> & copies_of_thread() {
    const size_t i = (size_t) current->linear;
    if (copies.size() <= i) {
        copies.resize(i + 1);
    }
    if (copies[i].empty()) {
        copies[i].emplace_back();
    }
    return copies[i];
}

} // namespace

void forget_copies() { copies.clear(); }

void copy_async(void * to, const void * from, int bytes, bool valid) {
    copies_of_thread().back().push_back({ to, from, bytes, valid });
}

void copy_commit() { copies_of_thread().emplace_back(); }

void copy_wait(int groups) {
    auto & all = copies_of_thread();
    while ((int) all.size() - 1 > groups) {
        for (const Copy & c : all.front()) {
            if (c.valid) {
                std::memcpy(c.to, c.from, (size_t) c.bytes);
            } else {
                std::memset(c.to, 0, (size_t) c.bytes);
            }
        }
        all.pop_front();
    }
}

// ---- numbers and matrices ---------------------------------------------------------

float bf16_to_float(uint16_t x) {
    const uint32_t u = (uint32_t) x << 16;
    float          f;
    std::memcpy(&f, &u, 4);
    return f;
}

uint16_t float_to_bf16(float x) {
    uint32_t u;
    std::memcpy(&u, &x, 4);
    if ((u & 0x7FFFFFFF) > 0x7F800000) {
        return 0x7FFF; // cvt gives the canonical NaN
    }
    return (uint16_t) ((u + 0x7FFF + (u >> 16 & 1)) >> 16);
}

float half_to_float(uint16_t x) {
    const int   exponent = x >> 10 & 31, mantissa = x & 1023;
    const float magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY)
                            : exponent == 0 ? std::ldexp((float) mantissa, -24)
                                            : std::ldexp((float) (mantissa + 1024), exponent - 25);
    return x & 0x8000 ? -magnitude : magnitude;
}

void mma_m16n8k16(float c[4], const uint32_t a[4], const uint32_t b[2], int line) {
    struct In {
        uint32_t a[4], b[2];
    } in;
    std::memcpy(in.a, a, sizeof in.a);
    std::memcpy(in.b, b, sizeof in.b);
    std::memcpy(deposit(line), &in, sizeof in);
    wait();
    const int row = lane() / 4, col = lane() % 4 * 2;
    for (int i = 0; i < 4; i++) { // c0, c1: (row, col + {0,1}); c2, c3: (row + 8, col + {0,1})
        const int r = row + (i / 2) * 8, n = col + i % 2;
        float     sum = 0;
        for (int k = 0; k < 16; k++) {
            // A: register = (r >= 8) + 2 (k >= 8), lane = 4 (r % 8) + (k % 8) / 2
            // B: register = k >= 8, lane = 4 n + (k % 8) / 2
            const In *     pa = (const In *) deposited(r % 8 * 4 + k % 8 / 2);
            const In *     pb = (const In *) deposited(n * 4 + k % 8 / 2);
            const uint32_t wa = pa->a[(r >= 8) + 2 * (k >= 8)], wb = pb->b[k >= 8];
            sum += bf16_to_float((uint16_t) (wa >> 16 * (k & 1))) * bf16_to_float((uint16_t) (wb >> 16 * (k & 1)));
        }
        c[i] += sum;
    }
}

void ldmatrix_x4(uint32_t r[4], const void * row, bool trans, int line) {
    if ((uintptr_t) row % 16 != 0) {
        refuse("ldmatrix: a row that is not aligned to 16 bytes");
    }
    std::memcpy(deposit(line), &row, sizeof row);
    wait();
    const auto item = [&](int matrix, int y, int x) {
        const uint16_t * p;
        std::memcpy(&p, deposited(matrix * 8 + y), sizeof p);
        return (uint32_t) p[x];
    };
    const int y = lane() / 4, x = lane() % 4 * 2;
    for (int i = 0; i < 4; i++) { // lane holds (y, x) and (y, x+1), of the transposed matrix if trans
        r[i] = trans ? item(i, x, y) | item(i, x + 1, y) << 16 : item(i, y, x) | item(i, y, x + 1) << 16;
    }
}

} // namespace emulation
