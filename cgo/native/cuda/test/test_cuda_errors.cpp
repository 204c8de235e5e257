// Every mistake is one exception with operation and shapes, and leaves no scratch memory behind.

#include "cuda_harness.h"

#include "../pool.h"

#include <algorithm>
#include <cstring>

namespace test {
namespace {

bool has(const std::string & s, const char * word) { return s.find(word) != std::string::npos; }

void shapes() {
    const TensorPtr y = zeros(5, 3), x = random(4, 3), w = random(5);
    prepare(y->get(), { x, w }, {});
    const std::string e = error_of([&] { steer_cuda_norm(y->get(), device()); });
    expect("wrong shape: " + e, has(e, "cuda norm f32 [5, 3] of f32 [4, 3] f32 [5, 1]") && has(e, "x is not f32"));
}

void head_size() {
    const TensorPtr q = random(300, 2), out = zeros(301, 2), cu = integers({ 0, 2 });
    Params          p;
    p.f[0] = 1;
    p.i[0] = 300;
    p.i[1] = p.i[2] = 1;
    prepare(out->get(), { q, q, q, cu }, p);
    const std::string e = error_of([&] { steer_cuda_attn(out->get(), device()); });
    expect("head size: " + e, has(e, "cuda attn") && has(e, "head size outside 1 ... 256"));
}

void memory() {
    const TensorPtr W = weight(GGML_TYPE_Q8_0, 64, 8), x = random(64, 3), y = zeros(8, 3);
    prepare(y->get(), { W, x }, {});
    device().memory = 1000;
    bool out_of_memory = false;
    const std::string e = error_of([&] {
        try {
            steer_cuda_linear(y->get(), device());
        } catch (const steer_cuda_error & error) {
            out_of_memory = error.out_of_memory;
            throw;
        }
    });
    device().memory = SIZE_MAX;
    expect("out of memory: " + e, out_of_memory && has(e, "cuda linear") && has(e, "q8_0 [64, 8]"));
    expect("nothing held", device().pool_bytes() == 0);
}

void rows() {
    float             dst[64];
    const std::string e = error_of([&] { steer_cuda_unpack_rows(GGML_TYPE_Q8_0, dst, 40, 1, dst, device()); });
    expect("rows: " + e, has(e, "cuda unpack_rows f32 [40, 1] of q8_0 [40, 1]: not whole blocks"));
    expect("rows of numbers", has(error_of([&] { steer_cuda_unpack_rows(GGML_TYPE_I32, dst, 4, 1, dst, device()); }),
                                  "cannot be unpacked"));
}

void dropout() {
    const TensorPtr A = random(8, 2), x = random(8, 3), h = zeros(2, 3);
    Params          p;
    p.f[1] = 0.5f;
    prepare(h->get(), { A, x }, p);
    expect("dropout without seeds",
           has(error_of([&] { steer_cuda_lora_down(h->get(), device()); }), "dropout without seeds"));
}

// Memory that is counted and not there.
struct Counted {
    struct Card {
        size_t used = 0, most = 0, room = SIZE_MAX, obtained = 0;
    };
    Card * card;
    void * obtain(size_t n) {
        if (card->used + n > card->room) {
            throw steer_cuda_error("full", true);
        }
        card->used += n;
        card->most = std::max(card->most, card->used);
        card->obtained++;
        return (void *) (uintptr_t) (card->obtained << 32);
    }
    void give_back(void *, size_t n) noexcept { card->used -= n; }
};

void pool() {
    Counted::Card card;
    {
        steer::cuda::Pool<Counted> p({ &card }, 1000);
        void *a = p.acquire(700), *b = p.acquire(1500); // 768 and 1536
        expect("pieces that do not fit get segments of their own", card.used == 3000 && p.peak() == 2304);
        p.release(b);
        p.release(a);
        p.release(p.acquire(10));
        expect("then one segment for all", card.used == 3000 && card.obtained == 3);
        a = p.acquire(700), b = p.acquire(1500);
        expect("which has room for them", card.obtained == 3);
        p.release(b);
        p.release(a);
        p.reserve(7000); // 7168
        expect("a reserve, and not beside what was there",
               card.used == 8000 && card.most == 8000 && card.obtained == 4);
        a = p.acquire(4000), b = p.acquire(3000);
        expect("up to which nothing is obtained", card.obtained == 4);
        p.release(b);
        p.release(a);
        card.room = 5000;
        expect("no room", error_of([&] { p.acquire(9000); }) == "full" && card.used == 0);
        a = p.acquire(300); // not the 7000 of before
        expect("after which less is to be had", card.used == 1000);
        p.release(a);
    }
    expect("all given back", card.used == 0);
}

void table() {
    for (int i = 0; i < STEER_OP_COUNT; i++) {
        const steer_op *      cpu  = steer_op_get((steer_op_id) i);
        const steer_cuda_op * cuda = steer_cuda_op_get((steer_op_id) i);
        expect(std::string("table entry ") + cpu->name, cuda && std::strcmp(cuda->name, cpu->name) == 0);
    }
    expect("no entry beyond", !steer_cuda_op_get(STEER_OP_COUNT) && !steer_cuda_op_get((steer_op_id) -1));
    for (int t = 0; t < GGML_TYPE_COUNT; t++) {
        const auto type = (ggml_type) t;
        if (ggml_type_name(type) && steer_weight_type_ok(type) && ggml_get_type_traits(type)->to_float) {
            expect(std::string("weights of type ") + ggml_type_name(type), steer_cuda_weight_type_ok(type, device()));
        }
    }
}

} // namespace

void test_cuda_errors() {
    shapes();
    head_size();
    memory();
    rows();
    dropout();
    pool();
    table();
}

} // namespace test
