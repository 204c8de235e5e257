#include "harness.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <thread>

namespace test {

std::string context;

namespace {
std::mt19937_64 rng(7);
int             n_pass = 0, n_fail = 0;
} // namespace

Tensor::Tensor(ggml_type type, int64_t ne0, int64_t ne1, int64_t pad) : t_{} {
    t_.type  = type;
    t_.ne[0] = ne0;
    t_.ne[1] = ne1;
    t_.ne[2] = t_.ne[3] = 1;
    t_.nb[0]            = ggml_type_size(type);
    t_.nb[1]            = ggml_row_size(type, ne0) + pad * ggml_type_size(type);
    t_.nb[2] = t_.nb[3] = t_.nb[1] * ne1;
    data_.assign(t_.nb[2] + 1, 0);
    t_.data = data_.data();
}

OwnDraws::OwnDraws() : before_(rng) {
    rng.seed(7);
}

OwnDraws::~OwnDraws() {
    rng = before_;
}

void reseed() {
    rng.seed(7);
}

double uniform() {
    return std::uniform_real_distribution<double>(-1, 1)(rng);
}

int below(int n) {
    return (int) (rng() % (uint64_t) n);
}

TensorPtr zeros(int64_t ne0, int64_t ne1, int64_t pad) {
    return std::make_shared<Tensor>(GGML_TYPE_F32, ne0, ne1, pad);
}

TensorPtr random(int64_t ne0, int64_t ne1, double scale, int64_t pad) {
    TensorPtr t = zeros(ne0, ne1, pad);
    for (int64_t r = 0; r < ne1; r++) {
        for (int64_t i = 0; i < ne0; i++) {
            t->f32(r)[i] = (float) (uniform() * scale);
        }
    }
    return t;
}

Unfolded::Unfolded(const std::vector<int32_t> & lengths, const std::vector<int32_t> & parents) {
    std::vector<std::vector<int32_t>> paths;
    int32_t                           next = 0;
    for (size_t s = 0; s < lengths.size(); s++) {
        paths.push_back(parents[s] < 0 ? std::vector<int32_t>{} : paths[parents[s]]);
        for (int32_t i = 0; i < lengths[s]; i++) {
            paths[s].push_back(next++);
        }
        from.insert(from.end(), paths[s].begin(), paths[s].end());
        cu.push_back((int32_t) from.size());
    }
}

TensorPtr Unfolded::copy(const TensorPtr & x) const {
    TensorPtr y = zeros(x->ne0(), (int64_t) from.size());
    for (size_t t = 0; t < from.size(); t++) {
        std::copy(x->f32(from[t]), x->f32(from[t]) + x->ne0(), y->f32((int64_t) t));
    }
    return y;
}

std::vector<double> Unfolded::fold(const std::vector<double> & rows, int64_t n, int64_t T) const {
    std::vector<double> out(n * T, 0);
    for (size_t t = 0; t < from.size(); t++) {
        std::copy(&rows[t * n], &rows[t * n] + n, &out[from[t] * n]);
    }
    return out;
}

TensorPtr integers(const std::vector<int32_t> & v, int64_t ne0) {
    const int64_t n = ne0 ? ne0 : (int64_t) v.size();
    TensorPtr     t = std::make_shared<Tensor>(GGML_TYPE_I32, n, (int64_t) v.size() / (n ? n : 1));
    std::memcpy(t->i32(), v.data(), v.size() * 4);
    return t;
}

TensorPtr seeds(int64_t T) {
    std::vector<int32_t> v;
    for (int64_t i = 0; i < 2 * T; i++) {
        v.push_back((int32_t) rng());
    }
    return integers(v, 2);
}

float bf16_value(uint16_t x) {
    const uint32_t u = (uint32_t) x << 16;
    float          f;
    std::memcpy(&f, &u, 4);
    return f;
}

double bf16(double x) {
    int          e;
    const double m = std::frexp(x, &e); // |m| in [1/2, 1): 8 significant bits
    return std::ldexp(std::nearbyint(m * 256), e - 8);
}

TensorPtr packed(const TensorPtr & x, int64_t pad) {
    TensorPtr t = std::make_shared<Tensor>(GGML_TYPE_BF16, x->ne0(), x->ne1(), pad);
    prepare(t->get(), { x }, {});
    run_threads(STEER_OP_PACK, t->get(), 1);
    return t;
}

TensorPtr widened(const TensorPtr & x) {
    TensorPtr t = zeros(x->ne0(), x->ne1());
    for (int64_t r = 0; r < x->ne1(); r++) {
        for (int64_t i = 0; i < x->ne0(); i++) {
            t->f32(r)[i] = bf16_value(x->u16(r)[i]);
        }
    }
    return t;
}

TensorPtr activation(bool bf, int64_t ne0, int64_t ne1, int64_t pad) {
    return std::make_shared<Tensor>(bf ? GGML_TYPE_BF16 : GGML_TYPE_F32, ne0, ne1, pad);
}

TensorPtr activation(bool bf, const TensorPtr & x) {
    return bf ? packed(x) : x;
}

bool has_bf16() {
    return std::strcmp(steer_cpu_kernel_name(), "avx512bf16") == 0;
}

TensorPtr weight(ggml_type type, int64_t K, int64_t N, double scale) {
    TensorPtr f = random(K, N, scale);
    if (type == GGML_TYPE_F32) {
        return f;
    }
    TensorPtr t = std::make_shared<Tensor>(type, K, N);
    ggml_quantize_chunk(type, f->f32(), t->bytes().data(), 0, N, K, nullptr);
    return t;
}

std::vector<double> values(const TensorPtr & t) {
    std::vector<double> v;
    std::vector<float>  row(t->ne0());
    for (int64_t r = 0; r < t->ne1(); r++) {
        if (t->get()->type == GGML_TYPE_F32) {
            std::memcpy(row.data(), t->f32(r), row.size() * 4);
        } else {
            ggml_get_type_traits(t->get()->type)->to_float(t->f32(r), row.data(), t->ne0());
        }
        v.insert(v.end(), row.begin(), row.end());
    }
    return v;
}

void prepare(ggml_tensor * dst, const std::vector<TensorPtr> & src, const Params & p) {
    for (int i = 0; i < GGML_MAX_SRC; i++) {
        dst->src[i] = i < (int) src.size() && src[i] ? src[i]->get() : nullptr;
    }
    steer_op_params * q = steer_op_params_of(dst);
    std::memcpy(q->f, p.f, sizeof p.f);
    std::memcpy(q->i, p.i, sizeof p.i);
}

void run_threads(steer_op_id op, ggml_tensor * dst, int nth) {
    std::vector<std::thread> threads;
    for (int i = 1; i < nth; i++) {
        threads.emplace_back([=] { steer_op_get(op)->cpu(dst, i, nth, nullptr); });
    }
    steer_op_get(op)->cpu(dst, 0, nth, nullptr);
    for (std::thread & t : threads) {
        t.join();
    }
}

void run(steer_op_id op, const TensorPtr & dst, const std::vector<TensorPtr> & src, const Params & p, bool inplace) {
    const std::vector<uint8_t> before = dst->bytes();
    std::vector<uint8_t>       first;
    std::vector<TensorPtr>     s = src;
    if (inplace) {
        s.insert(s.begin(), dst);
    }
    for (int nth : { 1, 2, 5 }) {
        dst->bytes()     = before;
        dst->get()->data = dst->bytes().data();
        if (!inplace) { // whatever was there must not matter
            for (int64_t r = 0; r < dst->ne1(); r++) {
                std::memset(dst->bytes().data() + r * dst->get()->nb[1], 0xFF,
                            ggml_row_size(dst->get()->type, dst->ne0()));
            }
        }
        prepare(dst->get(), s, p);
        run_threads(op, dst->get(), nth);
        if (nth == 1) {
            first = dst->bytes();
        } else {
            expect(std::string(steer_op_get(op)->name) + ": same bits with " + std::to_string(nth) + " threads",
                   first == dst->bytes());
        }
    }
}

void expect(const std::string & what, bool ok) {
    if (ok) {
        n_pass++;
    } else {
        n_fail++;
        std::printf("FAILED %s: %s\n", context.c_str(), what.c_str());
    }
}

void check(const std::string & what, const std::vector<double> & got, const std::vector<double> & want, double tol) {
    if (got.size() != want.size()) {
        expect(what + ": sizes " + std::to_string(got.size()) + " and " + std::to_string(want.size()), false);
        return;
    }
    double sum = 0, worst = 0;
    for (size_t i = 0; i < want.size(); i++) {
        sum += want[i] * want[i];
        const double d = std::fabs(got[i] - want[i]);
        worst          = d > worst || std::isnan(d) ? d : worst;
        if (std::isnan(d)) {
            break;
        }
    }
    const double rms = std::sqrt(sum / (double) std::max<size_t>(1, want.size())), rel = worst / (rms > 0 ? rms : 1);
    char         text[160];
    std::snprintf(text, sizeof text, ": max error %.3g of rms %.3g, allowed %.1g", worst, rms, tol * rms);
    expect(what + text, rel <= tol);
}

void check_bf16(const std::string & what, const std::vector<double> & got, const std::vector<double> & want,
                double tol) {
    double sum = 0;
    for (double w : want) {
        sum += w * w;
    }
    const double rms   = std::sqrt(sum / (double) std::max<size_t>(1, want.size()));
    double       worst = 0; // beyond the rounding
    for (size_t i = 0; i < want.size() && i < got.size(); i++) {
        const double d = std::fabs(got[i] - want[i]) - std::fabs(want[i]) / 256;
        worst          = d > worst || std::isnan(d) ? d : worst;
    }
    char text[160];
    std::snprintf(text, sizeof text, ": %.3g beyond rounding to bf16, rms %.3g, allowed %.1g", worst, rms, tol * rms);
    expect(what + text, got.size() == want.size() && worst <= tol * rms);
}

void check_rms(const std::string & what, const std::vector<double> & got, const std::vector<double> & want,
               double tol) {
    double sum = 0, diff = 0;
    for (size_t i = 0; i < want.size() && i < got.size(); i++) {
        sum += want[i] * want[i];
        diff += (got[i] - want[i]) * (got[i] - want[i]);
    }
    char text[96];
    std::snprintf(text, sizeof text, ": rms error %.3g of rms, allowed %.1g", std::sqrt(diff / sum), tol);
    expect(what + text, got.size() == want.size() && (diff <= tol * tol * sum));
}

int failures() {
    return n_fail;
}

int passes() {
    return n_pass;
}

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (const char * n : { "portable", "avx2", "avx512", "avx512bf16" }) {
        if (steer_cpu_force_kernel(n)) {
            names.emplace_back(n);
        } else {
            std::printf("kernel %s: this processor lacks it, not tested\n", n);
        }
    }
    steer_cpu_force_kernel(nullptr);
    return names;
}

} // namespace test
