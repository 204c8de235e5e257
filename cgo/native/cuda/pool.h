// pool.h: scratch memory as a stack, over any way to obtain memory of a device.
#pragma once

#include "cuda_ops.h"

#include <algorithm>
#include <vector>

namespace steer {
namespace cuda {

// What a piece of scratch memory takes of the pool: pieces begin at multiples of 256 bytes.
inline size_t piece_bytes(size_t bytes) { return (bytes + 255) / 256 * 256; }

// Launchers release in the reverse order, and between two of them nothing is in use. Where a piece is
// too large for what is held it gets a segment of its own; the next time that nothing is in use, one
// segment of the largest need takes their place. After reserve(n) no need up to n obtains anything.
//
// Memory has `void * obtain(size_t)`, which throws steer_cuda_error, and `void give_back(void *, size_t) noexcept`.
template <class Memory> class Pool {
  public:
    // unit: segments are whole multiples of it, as the device gives its memory out
    Pool(Memory memory, size_t unit) : memory_(memory), unit_(unit) {}
    ~Pool() { free_all(); }
    Pool(const Pool &)             = delete;
    Pool & operator=(const Pool &) = delete;

    void * acquire(size_t bytes) {
        bytes = piece_bytes(bytes);
        if (in_use_ == 0 && (segments_.size() > 1 || room() < bytes)) {
            free_all(); // before more is asked for: the two are never held together
            add_most(bytes);
        } else if (room() < bytes) {
            add(bytes);
        }
        Segment & s = segments_.back();
        void *    p = s.base + s.used;
        s.used += bytes;
        in_use_ += bytes;
        peak_ = std::max(peak_, in_use_);
        return p;
    }

    void release(void * p) noexcept {
        for (Segment & s : segments_) {
            if (p >= s.base && p < s.base + s.used) {
                const size_t keep = (size_t) ((char *) p - s.base);
                in_use_ -= s.used - keep;
                s.used = keep;
            }
        }
    }

    void reserve(size_t bytes) {
        if (bytes > 0) {
            release(acquire(bytes));
        }
    }

    size_t held() const {
        size_t n = 0;
        for (const Segment & s : segments_) {
            n += s.size;
        }
        return n;
    }
    size_t peak() const { return peak_; }

  private:
    struct Segment {
        char * base;
        size_t size, used;
    };

    size_t room() const { return segments_.empty() ? 0 : segments_.back().size - segments_.back().used; }

    void add(size_t size) {
        size = (size + unit_ - 1) / unit_ * unit_;
        segments_.reserve(segments_.size() + 1); // so that nothing throws once the memory is there
        segments_.push_back({ (char *) memory_.obtain(size), size, 0 });
    }

    // One segment of the largest need so far, or of this one if the device has no longer room for that.
    void add_most(size_t bytes) {
        if (peak_ > bytes) {
            try {
                return add(peak_);
            } catch (const steer_cuda_error &) {
                peak_ = 0;
            }
        }
        add(bytes);
    }

    void free_all() noexcept {
        for (const Segment & s : segments_) {
            memory_.give_back(s.base, s.size);
        }
        segments_.clear();
    }

    Memory               memory_;
    size_t               unit_;
    std::vector<Segment> segments_;
    size_t               in_use_ = 0, peak_ = 0;
};

} // namespace cuda
} // namespace steer
