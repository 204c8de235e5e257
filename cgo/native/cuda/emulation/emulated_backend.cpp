// emulated_backend.cpp: what ggml and libllama see of an emulated GPU: memory that is not the host's, and
// ggml's own operations, which its CPU backend computes there. Like a GPU's backend it refuses
// operands that are elsewhere and custom operations.
#include "emulated_backend.h"

#include "ggml-backend-impl.h"
#include "ggml-cpu.h"
#include "ggml-impl.h"
#include "emulated_memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace steer {
namespace emulated {

const device_kind devices[DEVICES] = {
    { "emulated GPU", (size_t) 4 << 30, 90 },
    { "emulated GPU with 64 KiB", (size_t) 64 << 10, 90 },
    { "emulated GPU of an old kind", (size_t) 1 << 30, 75 },
};

namespace {

// What ggml-cuda says of it, so that messages are alike.
void no_memory(int index, size_t size) {
    GGML_LOG_ERROR("allocating %.2f MiB on device %d: out of memory\n", size / 1024.0 / 1024.0, index);
}

struct machine {
    ggml_backend_reg         reg;
    ggml_backend_device      dev[DEVICES];
    ggml_backend_buffer_type buft[DEVICES];
    std::string              name[DEVICES];
    machine();
};

machine & here() {
    static machine m;
    return m;
}

int index_of_type(ggml_backend_buffer_type_t buft) { return (int) (buft - here().buft); }

// ---- memory -----------------------------------------------------------------------

void buffer_free(ggml_backend_buffer_t b) { release(index_of_type(b->buft), b->context, b->size); }
void * buffer_base(ggml_backend_buffer_t b) { return b->context; }
void buffer_memset(ggml_backend_buffer_t, ggml_tensor * t, uint8_t value, size_t offset, size_t n) {
    open_memory open;
    memset((char *) t->data + offset, value, n);
}
void buffer_set(ggml_backend_buffer_t, ggml_tensor * t, const void * data, size_t offset, size_t n) {
    open_memory open;
    memcpy((char *) t->data + offset, data, n);
}
void buffer_get(ggml_backend_buffer_t, const ggml_tensor * t, void * data, size_t offset, size_t n) {
    open_memory open;
    memcpy(data, (const char *) t->data + offset, n);
}
// ggml then copies through the host.
bool buffer_copy(ggml_backend_buffer_t, const ggml_tensor *, ggml_tensor *) { return false; }
void buffer_clear(ggml_backend_buffer_t b, uint8_t value) {
    open_memory open;
    memset(b->context, value, b->size);
}

const ggml_backend_buffer_i buffer_interface = { buffer_free, buffer_base, nullptr,      buffer_memset, buffer_set,
                                                 buffer_get,  buffer_copy, buffer_clear, nullptr };

const char * buft_name(ggml_backend_buffer_type_t buft) { return here().name[index_of_type(buft)].c_str(); }
size_t       buft_alignment(ggml_backend_buffer_type_t) { return 128; }
ggml_backend_buffer_t buft_alloc(ggml_backend_buffer_type_t buft, size_t size) {
    void * p = allocate(index_of_type(buft), size);
    if (!p) {
        no_memory(index_of_type(buft), size);
        return nullptr;
    }
    return ggml_backend_buffer_init(buft, buffer_interface, p, size);
}

// ---- computing --------------------------------------------------------------------

bool on(ggml_backend_buffer_type_t buft, const ggml_tensor * t) {
    const ggml_backend_buffer_t b = t->view_src ? t->view_src->buffer : t->buffer;
    return b && b->buft == buft;
}

const char * backend_name(ggml_backend_t b) { return here().name[index_of(b->device)].c_str(); }

// What a backend keeps. As with ggml-cuda's pools and cuBLAS, nobody says beforehand what it takes
// when it first computes.
struct backend_state {
    ggml_backend_t cpu;
    int            index;
    void *         workspace;
    size_t         workspace_bytes() const { return devices[index].memory / 16384; }
};

// The struct itself is kept, so that a later use is seen.
void backend_free(ggml_backend_t b) {
    auto * state = (backend_state *) b->context;
    if (state->workspace) {
        release(state->index, state->workspace, state->workspace_bytes());
    }
    ggml_backend_free(state->cpu);
    delete state;
    b->context = nullptr;
}
// ggml-cuda frees its pools here: it touches what belongs to the backend.
void backend_reset(ggml_backend_t b) {
    if (!b->context) {
        fputs("emulated GPU: a backend is reset after it was freed\n", stderr);
        abort();
    }
}
void backend_synchronize(ggml_backend_t) {}

ggml_status backend_compute(ggml_backend_t b, ggml_cgraph * graph, int) {
    for (int i = 0; i < graph->n_nodes; i++) {
        const ggml_tensor * t  = graph->nodes[i];
        bool                ok = t->op != GGML_OP_CUSTOM && on(b->device->iface.get_buffer_type(b->device), t);
        for (int k = 0; k < GGML_MAX_SRC && t->src[k]; k++) {
            ok = ok && on(b->device->iface.get_buffer_type(b->device), t->src[k]);
        }
        if (!ok) {
            throw std::runtime_error(std::string("CUDA error: an illegal memory access was encountered (emulated: ") +
                                     ggml_op_desc(t) + " of tensor " + t->name +
                                     ", whose operands are not all on the device)");
        }
    }
    auto * state = (backend_state *) b->context;
    if (!state->workspace && !(state->workspace = allocate(state->index, state->workspace_bytes()))) {
        throw std::runtime_error("CUDA error: out of memory (emulated: a workspace of " +
                                 std::to_string(state->workspace_bytes()) + " bytes)");
    }
    open_memory open;
    return ggml_backend_graph_compute(state->cpu, graph);
}

const ggml_backend_i backend_interface = {
    backend_name, backend_free, nullptr, nullptr, nullptr, backend_synchronize, nullptr, nullptr, nullptr, nullptr,
    backend_compute, nullptr, nullptr, nullptr, nullptr, nullptr, backend_reset,
};

// ---- device -----------------------------------------------------------------------

const char * dev_name(ggml_backend_dev_t dev) { return here().name[index_of(dev)].c_str(); }
const char * dev_description(ggml_backend_dev_t dev) { return devices[index_of(dev)].description; }
void dev_memory(ggml_backend_dev_t dev, size_t * free, size_t * total) {
    *free  = free_bytes(index_of(dev));
    *total = total_bytes(index_of(dev));
}
enum ggml_backend_dev_type dev_type(ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; }
void dev_props(ggml_backend_dev_t dev, ggml_backend_dev_props * props) {
    *props             = {};
    props->name        = dev_name(dev);
    props->description = dev_description(dev);
    props->type        = GGML_BACKEND_DEVICE_TYPE_GPU;
    dev_memory(dev, &props->memory_free, &props->memory_total);
}

ggml_backend_t dev_init(ggml_backend_dev_t dev, const char *) {
    static uint8_t guid[16] = { 's', 't', 'e', 'e', 'r', '-', 'e', 'm', 'u', 'l', 'a', 't', 'i', 'o', 'n', '1' };
    ggml_backend_t cpu = ggml_backend_cpu_init();
    ggml_backend_cpu_set_n_threads(cpu, 1);
    return new ggml_backend{ &guid, backend_interface, dev, new backend_state{ cpu, index_of(dev), nullptr } };
}

ggml_backend_buffer_type_t dev_buft(ggml_backend_dev_t dev) { return &here().buft[index_of(dev)]; }

bool dev_supports_op(ggml_backend_dev_t, const ggml_tensor * t) {
    return t->op != GGML_OP_CUSTOM && t->op != GGML_OP_MAP_CUSTOM1;
}
bool dev_supports_buft(ggml_backend_dev_t dev, ggml_backend_buffer_type_t buft) { return buft == dev_buft(dev); }

const ggml_backend_device_i device_interface = {
    dev_name, dev_description, dev_memory, dev_type, dev_props, dev_init, dev_buft, nullptr, nullptr, dev_supports_op,
    dev_supports_buft, nullptr, nullptr, nullptr, nullptr, nullptr,
};

const char *       reg_name(ggml_backend_reg_t) { return "CUDA"; }
size_t             reg_count(ggml_backend_reg_t) { return DEVICES; }
ggml_backend_dev_t reg_device(ggml_backend_reg_t, size_t i) { return &here().dev[i]; }
void *             reg_proc(ggml_backend_reg_t, const char *) { return nullptr; }

machine::machine() : reg{ GGML_BACKEND_API_VERSION, { reg_name, reg_count, reg_device, reg_proc }, nullptr } {
    for (int i = 0; i < DEVICES; i++) {
        name[i] = "CUDA" + std::to_string(i);
        dev[i]  = { device_interface, &reg, nullptr };
        buft[i] = { { buft_name, buft_alloc, buft_alignment, nullptr, nullptr, nullptr, nullptr },
                    &dev[i], nullptr, false };
    }
}

} // namespace

ggml_backend_dev_t device(int index) { return &here().dev[index]; }
int                index_of(ggml_backend_dev_t dev) { return (int) (dev - here().dev); }

} // namespace emulated
} // namespace steer
