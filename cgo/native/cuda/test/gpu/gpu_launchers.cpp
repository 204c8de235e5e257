#include "gpu_launchers.h"

#include "../../cuda_api.h"
#include "../cuda_harness.h"

#include <dlfcn.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace test {
namespace {

struct Gpu {
    const steer_cuda_api * api    = nullptr;
    steer_cuda_device *    device = nullptr;
    ggml_backend_buffer_t  buffer = nullptr; // what one call needs
    size_t                 size   = 0;
};
Gpu gpu;

// A failed call throws what launchers throw.
template <class F> void call(F f) {
    char err[1024] = "";
    if (f(err, sizeof(err)) != 0) {
        throw steer_cuda_error(err);
    }
}

// Pieces of device memory with their copies on the host, for one call.
class Pieces {
  public:
    // A piece of n bytes; the same host address gives the same piece.
    size_t add(void * host, size_t n) {
        for (size_t i = 0; i < pieces_.size(); i++) {
            if (pieces_[i].host == host) {
                return i;
            }
        }
        pieces_.push_back({ host, n, end_ });
        end_ += (n + 255) / 256 * 256;
        return pieces_.size() - 1;
    }

    void to_device() {
        if (end_ > gpu.size) {
            if (gpu.buffer) {
                ggml_backend_buffer_free(gpu.buffer);
            }
            gpu.size   = 2 * end_;
            gpu.buffer = ggml_backend_alloc_buffer(gpu.api->backend(gpu.device), gpu.size);
            if (!gpu.buffer) {
                throw std::runtime_error(std::to_string(gpu.size) + " bytes of device memory: none");
            }
        }
        for (const Piece & p : pieces_) {
            ggml_tensor t = tensor(p);
            ggml_backend_tensor_set(&t, p.host, 0, p.size);
        }
    }

    void * address(size_t i) const { return (char *) ggml_backend_buffer_get_base(gpu.buffer) + pieces_[i].at; }

    void to_host() {
        call([](char * err, size_t n) { return gpu.api->synchronize(gpu.device, err, n); });
        for (const Piece & p : pieces_) {
            const ggml_tensor t = tensor(p);
            ggml_backend_tensor_get(&t, p.host, 0, p.size);
        }
    }

  private:
    struct Piece {
        void * host;
        size_t size, at;
    };

    // As bytes.
    ggml_tensor tensor(const Piece & p) const {
        ggml_tensor t = {};
        t.type        = GGML_TYPE_I8;
        t.ne[0]       = (int64_t) p.size;
        t.ne[1] = t.ne[2] = t.ne[3] = 1;
        t.nb[0]                     = 1;
        t.nb[1] = t.nb[2] = t.nb[3] = p.size;
        t.buffer                    = gpu.buffer;
        t.data                      = (char *) ggml_backend_buffer_get_base(gpu.buffer) + p.at;
        return t;
    }

    std::vector<Piece> pieces_;
    size_t             end_ = 0;
};

// Bytes from a tensor's first row to the end of its last one, with what lies behind it.
size_t span(const ggml_tensor * t) { return (size_t) t->ne[1] * t->nb[1]; }

void launch(steer_op_id op, ggml_tensor * dst) {
    Pieces                   pieces;
    std::vector<ggml_tensor> copies;
    std::vector<size_t>      places;
    copies.reserve(1 + GGML_MAX_SRC);
    const auto take = [&](ggml_tensor * t) {
        places.push_back(pieces.add(t->data, span(t)));
        copies.push_back(*t);
    };
    take(dst);
    for (int i = 0; i < GGML_MAX_SRC && dst->src[i]; i++) {
        take(dst->src[i]);
        copies[0].src[i] = &copies.back();
    }
    pieces.to_device();
    for (size_t i = 0; i < copies.size(); i++) {
        copies[i].data   = pieces.address(places[i]);
        copies[i].buffer = gpu.buffer;
    }
    call([&](char * err, size_t n) { return gpu.api->launch(gpu.device, op, &copies[0], err, n); });
    pieces.to_host();
}

} // namespace

void open_gpu(const char * library, int index) {
    void * handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        throw std::runtime_error(dlerror());
    }
    const auto entry = (steer_cuda_entry_fn) dlsym(handle, STEER_CUDA_ENTRY);
    if (!entry) {
        throw std::runtime_error(std::string(library) + " has no " STEER_CUDA_ENTRY);
    }
    gpu.api = entry();
    if (gpu.api->abi != STEER_CUDA_ABI) {
        throw std::runtime_error(std::string(library) + " is of another version");
    }
    call([&](char * err, size_t n) { return gpu.api->open(index, &gpu.device, err, n); });
}

void close_gpu() {
    if (gpu.buffer) {
        ggml_backend_buffer_free(gpu.buffer);
    }
    gpu.api->close(gpu.device);
    gpu = {};
}

} // namespace test

#define LAUNCHER(name, id) \
    void steer_cuda_##name(ggml_tensor * dst, steer_cuda &) { test::launch(id, dst); }

LAUNCHER(pack, STEER_OP_PACK)
LAUNCHER(norm, STEER_OP_NORM)
LAUNCHER(rope_table, STEER_OP_ROPE_TABLE)
LAUNCHER(rope, STEER_OP_ROPE)
LAUNCHER(linear, STEER_OP_LINEAR)
LAUNCHER(linear_back, STEER_OP_LINEAR_BACK)
LAUNCHER(lora_down, STEER_OP_LORA_DOWN)
LAUNCHER(lora_up_back, STEER_OP_LORA_UP_BACK)
LAUNCHER(outer_acc, STEER_OP_OUTER_ACC)
LAUNCHER(lora_down_back, STEER_OP_LORA_DOWN_BACK)
LAUNCHER(attn, STEER_OP_ATTN)
LAUNCHER(attn_back, STEER_OP_ATTN_BACK)
LAUNCHER(rms_back, STEER_OP_RMS_BACK)
LAUNCHER(swiglu, STEER_OP_SWIGLU)
LAUNCHER(swiglu_back, STEER_OP_SWIGLU_BACK)
LAUNCHER(head_logprob, STEER_OP_HEAD_LOGPROB)
LAUNCHER(head_direction, STEER_OP_HEAD_DIRECTION)
LAUNCHER(head_direction_back, STEER_OP_HEAD_DIRECTION_BACK)
LAUNCHER(head_logprob_back, STEER_OP_HEAD_LOGPROB_BACK)
LAUNCHER(head_kl, STEER_OP_HEAD_KL)
LAUNCHER(scalar_head, STEER_OP_SCALAR_HEAD)
LAUNCHER(scalar_head_back, STEER_OP_SCALAR_HEAD_BACK)
LAUNCHER(scalar_head_grad, STEER_OP_SCALAR_HEAD_GRAD)
LAUNCHER(scalar_head_grad_bias, STEER_OP_SCALAR_HEAD_GRAD_BIAS)

void steer_cuda_unpack_rows(ggml_type type, const void * rows, int64_t row_values, int64_t n_rows, float * dst,
                            steer_cuda &) {
    test::Pieces pieces;
    const size_t at = pieces.add(dst, (size_t) (row_values * n_rows) * sizeof(float));
    pieces.to_device();
    test::call([&](char * err, size_t len) {
        return test::gpu.api->unpack_rows(test::gpu.device, type, rows, row_values, n_rows,
                                          (float *) pieces.address(at), err, len);
    });
    pieces.to_host();
}

void steer_cuda_sumsq(const float * x, int64_t n, double * out, steer_cuda &) {
    test::Pieces pieces;
    const size_t at = pieces.add((void *) x, (size_t) n * sizeof(float));
    pieces.to_device();
    test::call([&](char * err, size_t len) {
        return test::gpu.api->sumsq(test::gpu.device, (const float *) pieces.address(at), n, out, err, len);
    });
}

void steer_cuda_add(const float * a, const float * b, float * y, int64_t n, steer_cuda &) {
    test::Pieces pieces;
    const size_t size  = (size_t) n * sizeof(float);
    const size_t at[3] = { pieces.add((void *) a, size), pieces.add((void *) b, size), pieces.add(y, size) };
    pieces.to_device();
    test::call([&](char * err, size_t len) {
        return test::gpu.api->add(test::gpu.device, (const float *) pieces.address(at[0]),
                                  (const float *) pieces.address(at[1]), (float *) pieces.address(at[2]), n, err, len);
    });
    pieces.to_host();
}

void steer_cuda_adamw(float * p, const float * g, float * m, float * v, int64_t n, double lr, double b1, double b2,
                      double eps, double wd, double gscale, int64_t step, steer_cuda &) {
    test::Pieces pieces;
    size_t       at[4], i = 0;
    for (const float * x : { (const float *) p, g, (const float *) m, (const float *) v }) {
        at[i++] = pieces.add((void *) x, (size_t) n * sizeof(float));
    }
    pieces.to_device();
    test::call([&](char * err, size_t len) {
        return test::gpu.api->adamw(test::gpu.device, (float *) pieces.address(at[0]),
                                    (const float *) pieces.address(at[1]), (float *) pieces.address(at[2]),
                                    (float *) pieces.address(at[3]), n, lr, b1, b2, eps, wd, gscale, step, err, len);
    });
    pieces.to_host();
}
