// rope: rotates pairs of each head's features by the angles of rope_table.
//   (a, b) -> (a cos - b sin, a sin + b cos); backwards (i2 = 1) by the opposite angle
//   pairs: (2i, 2i+1) if i1 = 0, (i, i + R/2) if i1 = 2 (NEOX), of the first R features; the others stay
//   dst y [D*H,T] f32 or bf16, or src0 in place; src0 x [D*H,T], src1 table [R,T], R <= D
//   i0 = D, i1 = mode, i2 = back

#include "device.h"
#include "launch.h"

namespace steer {
namespace cuda {
namespace {

// One token a block, one pair a thread at a time.
template <class To>
__global__ void rotate(Rows<const float> x, Rows<const float> table, Rows<To> y, int D, int R, int heads, bool neox,
                       float sign) {
    const int64_t t     = blockIdx.x;
    const float * in    = x.data + t * x.stride;
    const float * angle = table.data + t * table.stride;
    To *          out   = y.data + t * y.stride;
    const int     half  = R / 2;
    for (int p = threadIdx.x; p < heads * half; p += blockDim.x) {
        const int   i = p % half, head = p / half * D;
        const int   a = head + (neox ? i : 2 * i), b = head + (neox ? i + half : 2 * i + 1);
        const float cosine = angle[2 * i], sine = angle[2 * i + 1] * sign;
        const float u = in[a], v = in[b];
        put(out + a, u * cosine - v * sine);
        put(out + b, u * sine + v * cosine);
    }
    for (int p = threadIdx.x; p < heads * (D - R); p += blockDim.x) {
        const int i = p / (D - R) * D + R + p % (D - R);
        put(out + i, in[i]);
    }
}

} // namespace

void rope(ggml_tensor * dst, steer_cuda & c) {
    const ggml_tensor *     x     = dst->src[0];
    const ggml_tensor *     table = dst->src[1];
    const steer_op_params & p     = params_of(dst);
    const int64_t           D = p.i[0], R = table->ne[0], n = dst->ne[0], T = dst->ne[1];
    require(D > 0 && D % 2 == 0 && n % D == 0, "rows are not whole heads of an even size");
    require(p.i[1] == 0 || p.i[1] == 2, "a mode other than 0 and 2");
    require_packed(dst, n, T, "dst");
    require_f32(x, n, T, "x is not f32 of dst's shape");
    require(R <= D && R % 2 == 0, "more angles than features");
    require_f32(table, R, T, "table is not f32 [R,T]");
    by_type(dst, [&](auto type) {
        using To = decltype(type);
        launch(c, "rotate", rotate<To>, dim3((unsigned) T), 256, 0, rows_of<const float>(x),
               rows_of<const float>(table), rows_of<To>(dst), (int) D, (int) R, (int) (n / D), p.i[1] == 2,
               p.i[2] ? -1.0f : 1.0f);
    });
}

} // namespace cuda
} // namespace steer
