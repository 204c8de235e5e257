// A steer_cuda whose device is this process: the launchers run on cuda_emulation.h, cuBLAS is
// a plain product, what ggml-cuda would unpack is unpacked by ggml's to_float, and no more than that.
#pragma once

#include "../pool.h"

#include <vector>

class EmulatedDevice : public steer_cuda {
  public:
    void   gemm(const steer_gemm & g) override;
    void   unpack_other(ggml_type type, const void * src, ggml_type to, void * dst, int64_t n) override;
    bool   can_unpack_other(ggml_type type) const override;
    void * acquire(size_t bytes) override;
    void   release(void * p) noexcept override;
    void   reserve(size_t) override {} // pieces are obtained one by one
    size_t pool_bytes() const override { return in_use_; }
    size_t peak_bytes() const override { return peak_; }
    void   forget_peak() { peak_ = in_use_; }

    // acquire beyond this throws, as a full device does.
    size_t memory = SIZE_MAX;
    // Whether every piece was released before those acquired earlier, as the pool of context.cu wants it.
    bool in_order = true;

  private:
    struct Piece {
        void * p;
        size_t size;
    };
    std::vector<Piece> pieces_;
    size_t             in_use_ = 0, peak_ = 0;
};
