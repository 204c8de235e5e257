// Tensors without a graph, running an operation on threads, and comparing.
#pragma once

#include "../ops.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace test {

// A tensor with its own memory; rows may be `pad` elements further apart than needed.
class Tensor {
  public:
    Tensor(ggml_type type, int64_t ne0, int64_t ne1 = 1, int64_t pad = 0);
    ggml_tensor * get() { return &t_; }
    float *       f32(int64_t row = 0) { return (float *) (data_.data() + row * t_.nb[1]); }
    int32_t *     i32(int64_t row = 0) { return (int32_t *) (data_.data() + row * t_.nb[1]); }
    uint16_t *    u16(int64_t row = 0) { return (uint16_t *) (data_.data() + row * t_.nb[1]); }
    int64_t       ne0() const { return t_.ne[0]; }
    int64_t       ne1() const { return t_.ne[1]; }
    double        at(int64_t i, int64_t row = 0) { return f32(row)[i]; }
    std::vector<uint8_t> & bytes() { return data_; }

  private:
    std::vector<uint8_t> data_;
    ggml_tensor          t_;
};

using TensorPtr = std::shared_ptr<Tensor>;

TensorPtr zeros(int64_t ne0, int64_t ne1 = 1, int64_t pad = 0);
TensorPtr random(int64_t ne0, int64_t ne1 = 1, double scale = 1, int64_t pad = 0);
TensorPtr integers(const std::vector<int32_t> & v, int64_t ne0 = 0);
TensorPtr seeds(int64_t T);
// bf16 copy of x, by the pack operation's rule; and what it holds as f32.
TensorPtr packed(const TensorPtr & x, int64_t pad = 0);
TensorPtr widened(const TensorPtr & x);
// f32 or bf16 memory for a result, rows pad elements further apart.
TensorPtr activation(bool bf, int64_t ne0, int64_t ne1, int64_t pad = 0);
// x itself, or rounded to bf16.
TensorPtr activation(bool bf, const TensorPtr & x);
bool      has_bf16(); // the kernel in use multiplies in bf16
// [K,N] of any type, and its values.
TensorPtr weight(ggml_type type, int64_t K, int64_t N, double scale = 1);
std::vector<double> values(const TensorPtr & t); // contiguous [ne1][ne0]
void   reseed(); // random numbers from the start: a part of the tests draws the same whatever ran before it
double uniform();
// While it lives random numbers come from a stream of its own: what is drawn changes nothing behind it.
class OwnDraws {
  public:
    OwnDraws();
    ~OwnDraws();

  private:
    std::mt19937_64 before_;
};
int    below(int n);
double bf16(double x); // rounded to nearest even
float  bf16_value(uint16_t x);

// A tree of segments with every segment's path from the root laid out whole, each a sequence of its own.
struct Unfolded {
    std::vector<int32_t> cu = { 0 }, from; // first token of each; token of the tree at each token
    Unfolded(const std::vector<int32_t> & lengths, const std::vector<int32_t> & parents);
    TensorPtr copy(const TensorPtr & x) const;
    // Rows of n values, one a token here, at the tokens of a tree of T; zero where there is none.
    std::vector<double> fold(const std::vector<double> & rows, int64_t n, int64_t T) const;
};

struct Params {
    float   f[4] = {};
    int32_t i[6] = {};
};

// Runs the operation with 1, 2 and 5 threads, each on a fresh copy of dst, checks that the
// bits agree, and leaves the result in dst. inplace: dst is src[0].
void run(steer_op_id op, const TensorPtr & dst, const std::vector<TensorPtr> & src, const Params & p, bool inplace);
// Once with nth threads.
void run_threads(steer_op_id op, ggml_tensor * dst, int nth);
void prepare(ggml_tensor * dst, const std::vector<TensorPtr> & src, const Params & p);

// max |got - want| <= tol * rms(want)
void check(const std::string & what, const std::vector<double> & got, const std::vector<double> & want, double tol);
// The same for a result in bf16: half a unit in the last place (2^-8 of the value) on top.
void check_bf16(const std::string & what, const std::vector<double> & got, const std::vector<double> & want,
                double tol);
// rms(got - want) <= tol * rms(want): for sums of rounded terms
void check_rms(const std::string & what, const std::vector<double> & got, const std::vector<double> & want, double tol);
void expect(const std::string & what, bool ok);

extern std::string context; // kernel name, prefixed to messages
int  failures();
int  passes();

// Every kernel this machine has.
std::vector<std::string> kernel_names();

void test_linear();
void test_lora();
void test_attn();
void test_decode();
void test_head();
void test_rows();
// only: linear, attn, lora, rows or head; null: all.
void bench(int threads, const char * only);

} // namespace test
