// Speed of the operations at the shapes of a 135M model.
//
// Times are processor time over the number of threads, so that other programs on the
// machine disturb less; the best of several runs counts.

#include "cpu/peak.h"
#include "harness.h"

#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>

namespace test {
namespace {

int n_threads;

double cpu_time() {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double) t.tv_sec + 1e-9 * (double) t.tv_nsec;
}

double seconds(const std::function<void()> & f) {
    double best = 1e9, total = 0;
    for (int i = 0; i < 3 || (total < 0.3 && i < 100); i++) {
        const double t0 = cpu_time();
        f();
        const double t = (cpu_time() - t0) / n_threads;
        best           = t < best ? t : best;
        total += t;
    }
    return best;
}

void report(const char * what, double flop, double s) {
    std::printf("%-44s %9.3f ms %8.1f GFLOP/s\n", what, s * 1e3, flop / s * 1e-9);
}

void linear(ggml_type type, int64_t K, int64_t N, int64_t T, bool bf, int threads) {
    const TensorPtr W = weight(type, K, N), xf = random(K, T), df = random(N, T);
    const TensorPtr x = bf ? packed(xf) : xf, dy = bf ? packed(df) : df, y = zeros(N, T), dx = zeros(K, T);
    char            name[96];
    const double    flop = 2.0 * (double) K * (double) N * (double) T;
    std::snprintf(name, sizeof name, "linear %s %s %d-%d T%d", ggml_type_name(type), bf ? "bf16" : "f32", (int) K,
                  (int) N, (int) T);
    prepare(y->get(), { W, x }, {});
    report(name, flop, seconds([&] { run_threads(STEER_OP_LINEAR, y->get(), threads); }));
    std::strcat(name, " +r16");
    prepare(y->get(), { W, x, random(16, N), activation(bf, random(16, T)) }, {});
    report(name, flop, seconds([&] { run_threads(STEER_OP_LINEAR, y->get(), threads); }));
    std::snprintf(name, sizeof name, "linear_back %s %s %d-%d T%d", ggml_type_name(type), bf ? "bf16" : "f32", (int) K,
                  (int) N, (int) T);
    prepare(dx->get(), { W, dy }, {});
    report(name, flop, seconds([&] { run_threads(STEER_OP_LINEAR_BACK, dx->get(), threads); }));
}

void attention(int64_t L, int64_t S, bool bf, int threads) {
    const int64_t        D = 64, H = 9, HK = 3, T = L * S;
    const TensorPtr      q = activation(bf, random(D * H, T)), k = activation(bf, random(D * HK, T)),
                         v = activation(bf, random(D * HK, T));
    const TensorPtr      dO = random(D * H, T);
    std::vector<int32_t> c;
    for (int64_t s = 0; s <= S; s++) {
        c.push_back((int32_t) (s * L));
    }
    const TensorPtr cu = integers(c), out = zeros(D * H + H, T), grad = zeros(D * (H + 2 * HK), T);
    Params          p;
    p.f[0]            = 0.125f;
    p.i[0]            = (int32_t) D;
    p.i[1]            = (int32_t) H;
    p.i[2]            = (int32_t) HK;
    p.i[3]            = bf;
    const double flop = 2.0 * (double) (S * H * D) * (double) L * (double) (L + 1); // causal half
    char         name[64];
    std::snprintf(name, sizeof name, "attn %s %d x T%d", bf ? "bf16" : "f32", (int) S, (int) L);
    prepare(out->get(), { q, k, v, cu }, p);
    report(name, flop, seconds([&] { run_threads(STEER_OP_ATTN, out->get(), threads); }));
    std::snprintf(name, sizeof name, "attn_back %s %d x T%d", bf ? "bf16" : "f32", (int) S, (int) L);
    prepare(grad->get(), { dO, q, k, v, out, cu }, p);
    report(name, 2.5 * flop, seconds([&] { run_threads(STEER_OP_ATTN_BACK, grad->get(), threads); }));
}

void lora(int64_t K, int64_t N, int64_t r, int64_t T, bool bf, int threads) {
    const TensorPtr A = random(K, r), B = random(r, N), x = activation(bf, random(K, T)),
                    dy = activation(bf, random(N, T)), h = activation(bf, random(r, T));
    const TensorPtr dx = zeros(K, T), h2 = activation(bf, r, T), dA = zeros(K, r), dB = zeros(r, N), s = seeds(T);
    const double    down = 2.0 * (double) (K * r) * (double) T, up = 2.0 * (double) (N * r) * (double) T;
    Params          p;
    p.f[0] = 2;
    std::printf("LoRA %s %d-%d r%d T%d\n", bf ? "bf16" : "f32", (int) K, (int) N, (int) r, (int) T);
    auto one = [&](const char * what, steer_op_id op, const TensorPtr & dst, const std::vector<TensorPtr> & src,
                   double flop) {
        prepare(dst->get(), src, p);
        report(what, flop, seconds([&] { run_threads(op, dst->get(), threads); }));
    };
    one("  lora_down", STEER_OP_LORA_DOWN, h2, { A, x }, down);
    one("  lora_up_back", STEER_OP_LORA_UP_BACK, h2, { B, dy }, up);
    one("  outer_acc dA", STEER_OP_OUTER_ACC, dA, { dA, x, h }, down);
    one("  outer_acc dB", STEER_OP_OUTER_ACC, dB, { dB, h, dy }, up);
    one("  lora_down_back", STEER_OP_LORA_DOWN_BACK, dx, { dx, A, h }, down);
    p.f[1] = 0.1f;
    one("  lora_down, dropout", STEER_OP_LORA_DOWN, h2, { A, x, s }, down);
    one("  outer_acc dA, dropout", STEER_OP_OUTER_ACC, dA, { dA, x, h, s }, down);
    one("  lora_down_back, dropout", STEER_OP_LORA_DOWN_BACK, dx, { dx, A, h, s }, down);
}

void rows(int64_t n, int64_t F, int64_t T, int threads) {
    const TensorPtr x = random(n, T), w = random(n), dy = random(n, T), dx = zeros(n, T);
    Params          p;
    p.f[0] = 1e-5f;
    prepare(dx->get(), { x, w, dy }, p);
    report("rms_back 576 T1024 (flop: elements)", (double) (n * T),
           seconds([&] { run_threads(STEER_OP_RMS_BACK, dx->get(), threads); }));
    const TensorPtr g = random(F, T), u = random(F, T), df = random(F, T), d = zeros(2 * F, T);
    prepare(d->get(), { g, u, df }, p);
    report("swiglu_back 1536 T1024 (flop: elements)", (double) (F * T),
           seconds([&] { run_threads(STEER_OP_SWIGLU_BACK, d->get(), threads); }));
    const TensorPtr y = std::make_shared<Tensor>(GGML_TYPE_BF16, F, T);
    prepare(y->get(), { g }, p);
    report("pack 1536 T1024 (flop: elements)", (double) (F * T),
           seconds([&] { run_threads(STEER_OP_PACK, y->get(), threads); }));
}

void head(ggml_type type, int64_t K, int64_t V, int64_t R, bool bf, int threads) {
    const TensorPtr      W = weight(type, K, V, 0.1), h = random(K, R), g = random(2, R), dh = zeros(K, R);
    std::vector<int32_t> rows, targets;
    for (int64_t r = 0; r < R; r++) {
        rows.push_back((int32_t) r);
        targets.push_back(below((int) V));
    }
    const TensorPtr ri = integers(rows), ti = integers(targets), out = zeros(4, R);
    Params          p;
    p.f[0] = 1;
    p.i[0] = 1;
    p.i[1] = bf;
    char         name[96];
    const double flop = 2.0 * (double) (K * V) * (double) R;
    std::snprintf(name, sizeof name, "head_logprob %s %s R%d", ggml_type_name(type), bf ? "bf16" : "f32", (int) R);
    prepare(out->get(), { W, h, ri, ti }, p);
    report(name, flop, seconds([&] { run_threads(STEER_OP_HEAD_LOGPROB, out->get(), threads); }));
    std::snprintf(name, sizeof name, "head_logprob_back %s %s R%d", ggml_type_name(type), bf ? "bf16" : "f32", (int) R);
    prepare(dh->get(), { dh, W, h, ri, ti, out, g }, p);
    report(name, 2 * flop, seconds([&] { run_threads(STEER_OP_HEAD_LOGPROB_BACK, dh->get(), threads); }));
}

} // namespace

void bench(int threads, const char * only) {
    n_threads = threads;
    std::printf("kernel %s, %d threads, best of several\n", steer_cpu_kernel_name(), threads);
    const auto limit = [&](const char * what, double (*loop)(int64_t)) {
        if (loop(1) > 0) {
            const double s = seconds([&] { loop(1000000); }) * n_threads; // one thread's limit times the threads
            report(what, threads * loop(1), s / 1e6);
        }
    };
    limit("limit of f32 multiply-adds", steer_cpu_peak_f32);
    limit("limit of bf16 dot products", steer_cpu_peak_bf16);
    const auto want = [&](const char * group) { return !only || std::strcmp(only, group) == 0; };
    if (want("linear")) {
        for (ggml_type type : { GGML_TYPE_Q4_1, GGML_TYPE_Q8_0 }) {
            for (int64_t T : { 16, 64, 256, 1024 }) {
                linear(type, 576, 1536, T, true, threads);
            }
        }
        linear(GGML_TYPE_Q4_0, 576, 1536, 256, true, threads);
        linear(GGML_TYPE_Q4_K, 2048, 5632, 256, true, threads);
        linear(GGML_TYPE_Q6_K, 2048, 2048, 256, true, threads);
        linear(GGML_TYPE_Q8_0, 576, 192, 256, true, threads);
        linear(GGML_TYPE_Q8_0, 576, 1536, 256, false, threads);
    }
    if (want("attn")) {
        for (bool bf : { false, true }) {
            attention(256, 4, bf, threads);
            attention(1024, 1, bf, threads);
        }
    }
    if (want("lora")) {
        for (bool bf : { false, true }) {
            lora(576, 1536, 16, 1024, bf, threads);
            lora(1536, 576, 16, 1024, bf, threads);
        }
    }
    if (want("rows")) {
        rows(576, 1536, 1024, threads);
    }
    if (want("head")) {
        head(GGML_TYPE_Q8_0, 576, 49152, 128, true, threads);
        head(GGML_TYPE_Q8_0, 576, 49152, 128, false, threads);
    }
}

} // namespace test
