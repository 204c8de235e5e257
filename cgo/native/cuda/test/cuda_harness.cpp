#include "cuda_harness.h"

#include "../emulation/cuda_emulation.h"
#include "../measure.h"

#include <cstring>

namespace test {

EmulatedDevice & device() {
    static EmulatedDevice d;
    return d;
}

TensorPtr empty(ggml_type type, int64_t ne0, int64_t ne1, int64_t pad) {
    TensorPtr t = std::make_shared<Tensor>(type, ne0, ne1, pad);
    std::memset(t->bytes().data(), 0xFF, t->bytes().size());
    return t;
}

TensorPtr random_packed(ggml_type type, int64_t ne0, int64_t ne1, double scale, int64_t pad) {
    if (type == GGML_TYPE_F32) {
        return random(ne0, ne1, scale, pad);
    }
    TensorPtr t = std::make_shared<Tensor>(type, ne0, ne1, pad);
    for (int64_t r = 0; r < ne1; r++) {
        for (int64_t i = 0; i < ne0; i++) {
            t->u16(r)[i] = emulation::float_to_bf16((float) (uniform() * scale));
        }
    }
    return t;
}

std::vector<double> rounded(std::vector<double> v, ggml_type type) {
    for (double & x : v) {
        x = type == GGML_TYPE_BF16 ? bf16(x) : x;
    }
    return v;
}

namespace {

// Bytes behind the used part of each row.
std::vector<uint8_t> gaps(const TensorPtr & t) {
    const size_t         used = ggml_row_size(t->get()->type, t->ne0());
    std::vector<uint8_t> out;
    for (int64_t r = 0; r < t->ne1(); r++) {
        const uint8_t * row = t->bytes().data() + r * t->get()->nb[1];
        out.insert(out.end(), row + used, row + t->get()->nb[1]);
    }
    return out;
}

// The scratch memory that the launcher says it needs; saying so computes nothing.
size_t measured(const char * name, steer_cuda_launcher launcher, const TensorPtr & dst) {
#ifdef STEER_TEST_GPU // the launchers are the library's, out of reach: its own tests are this one's
    (void) name, (void) launcher, (void) dst;
    return 0;
#else
    const std::vector<uint8_t> before = dst->bytes();
    steer::cuda::Measure       measure(device());
    try {
        launcher(dst->get(), measure);
    } catch (const std::exception & e) {
        expect(std::string(name) + " is measured: " + e.what(), false);
    }
    expect(std::string(name) + ": measuring computes nothing", dst->bytes() == before && measure.pool_bytes() == 0);
    return measure.peak_bytes();
#endif
}

} // namespace

void run_cuda(const char * name, steer_cuda_launcher launcher, const TensorPtr & dst,
              const std::vector<TensorPtr> & src, const Params & p, bool inplace) {
    const std::vector<uint8_t> before = dst->bytes();
    std::vector<uint8_t>       first;
    std::vector<TensorPtr>     s = src;
    if (inplace) {
        s.insert(s.begin(), dst);
    }
    for (const auto schedule :
         { emulation::Schedule::forward, emulation::Schedule::reverse, emulation::Schedule::random }) {
        emulation::set_schedule(schedule);
        dst->bytes()     = before;
        dst->get()->data = dst->bytes().data();
        if (!inplace) { // whatever was there must not matter
            for (int64_t r = 0; r < dst->ne1(); r++) {
                std::memset(dst->bytes().data() + r * dst->get()->nb[1], 0xFF,
                            ggml_row_size(dst->get()->type, dst->ne0()));
            }
        }
        const std::vector<uint8_t> edge = gaps(dst);
        prepare(dst->get(), s, p);
        const size_t scratch = measured(name, launcher, dst);
        device().forget_peak();
        try {
            launcher(dst->get(), device());
        } catch (const std::exception & e) {
            expect(std::string(name) + " throws: " + e.what(), false);
            return;
        }
        expect(std::string(name) + ": scratch memory given back", device().pool_bytes() == 0 && device().in_order);
        expect(std::string(name) + ": scratch memory as measured", scratch == device().peak_bytes());
        expect(std::string(name) + ": nothing written between rows", gaps(dst) == edge);
        if (schedule == emulation::Schedule::forward) {
            first = dst->bytes();
        } else {
            expect(std::string(name) + ": same bits in another order", first == dst->bytes());
        }
    }
}

void compare(const Case & c, const std::string & what, const std::vector<double> & want, double tol, double twin_tol) {
    const std::string          title = std::string(c.name) + " " + what;
    const std::vector<uint8_t> before = c.dst->bytes();
    run_cuda(c.name, c.launcher, c.dst, c.src, c.p, c.inplace);
    const std::vector<double> got = values(c.dst);
    check(title, got, want, tol);
    const steer_op * twin = steer_op_by_name(c.name);
    expect(title + ": the CPU has it", twin != nullptr);
    if (!twin) {
        return;
    }
    TensorPtr cpu = std::make_shared<Tensor>(c.dst->get()->type, c.dst->ne0(), c.dst->ne1());
    if (c.inplace) { // rows without gaps: the CPU's way with them has its own tests
        const size_t row = ggml_row_size(cpu->get()->type, cpu->ne0());
        for (int64_t r = 0; r < cpu->ne1(); r++) {
            std::memcpy(cpu->bytes().data() + r * row, before.data() + r * c.dst->get()->nb[1], row);
        }
    }
    std::vector<TensorPtr> s = c.src;
    if (c.inplace) {
        s.insert(s.begin(), cpu);
    }
    prepare(cpu->get(), s, c.p);
    twin->cpu(cpu->get(), 0, 1, nullptr);
    check(title + " against the CPU's", got, values(cpu), twin_tol);
}

std::string error_of(const std::function<void()> & f) {
    try {
        f();
    } catch (const steer_cuda_error & e) {
        return e.what();
    } catch (const std::exception & e) {
        return std::string("another exception: ") + e.what();
    }
    return "";
}

} // namespace test
