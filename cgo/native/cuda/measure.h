// measure.h: what a launcher takes of scratch memory, asked of the launcher itself: it runs as it always
// does, but nothing is launched and its scratch memory is only counted.
#pragma once

#include "pool.h"

namespace steer {
namespace cuda {

class Measure : public steer_cuda {
  public:
    explicit Measure(const steer_cuda & of) : of_(of) {
        limits    = of.limits;
        measuring = true;
    }

    void gemm(const steer_gemm &) override {}
    void unpack_other(ggml_type, const void *, ggml_type to, void *, int64_t n) override {
        if (to != GGML_TYPE_F32) { // context.cu goes over fp16
            release(acquire((size_t) n * 2));
        }
    }
    bool can_unpack_other(ggml_type type) const override { return of_.can_unpack_other(type); }

    // Places that no one may touch, 256 bytes aligned like real ones.
    void * acquire(size_t bytes) override {
        void * p = (void *) (uintptr_t) (BASE + in_use_);
        in_use_ += piece_bytes(bytes);
        peak_ = std::max(peak_, in_use_);
        return p;
    }
    void   release(void * p) noexcept override { in_use_ = (size_t) ((uintptr_t) p - BASE); }
    void   reserve(size_t) override {}
    size_t pool_bytes() const override { return in_use_; }
    size_t peak_bytes() const override { return peak_; }

  private:
    static constexpr uintptr_t BASE = 4096;

    const steer_cuda & of_;
    size_t             in_use_ = 0, peak_ = 0;
};

} // namespace cuda
} // namespace steer
