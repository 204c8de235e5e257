package cgo

// #include <stdlib.h>
// #include "steer.h"
import "C"

import "unsafe"

// Model is a loaded model: weights and vocabulary.
type Model struct{ p *C.steer_model }

// HParams are the hyper-parameters of a model.
type HParams struct {
	Layers, Embd, FF, Heads, KVHeads, HeadDim, Vocab, CtxTrain int
	RMSEps, RopeFreqBase                                       float32
	RopeType                                                   int
	AttnScale                                                  float32 // 0: 1/sqrt(HeadDim)
	AttnCap, LogitCap                                          float32 // 0: not capped
	Tied                                                       bool
	// continues texts, and what is decoded can be taken back
	Decodes       bool
	Bytes, Params int64
}

// LoadModel maps the GGUF file at path.
func LoadModel(d Device, path string, checkTensors bool) (m Model, err error) {
	c := C.CString(path)
	defer C.free(unsafe.Pointer(c))
	err = call(func(e *C.char, n C.size_t) C.int {
		return C.steer_model_load(d.p, c, C.bool(checkTensors), &m.p, e, n)
	})
	return m, err
}

// Free unmaps the model.
func (m Model) Free() { C.steer_model_free(m.p) }

// DeviceBytes is what the weights take of a GPU's memory.
func (m Model) DeviceBytes() int64 { return int64(C.steer_model_device_bytes(m.p)) }

// HParams reads the hyper-parameters.
func (m Model) HParams() HParams {
	var h C.steer_hparams
	C.steer_model_hparams(m.p, &h)
	return HParams{
		Layers: int(h.n_layer), Embd: int(h.n_embd), FF: int(h.n_ff), Heads: int(h.n_head), KVHeads: int(h.n_head_kv),
		HeadDim: int(h.head_dim), Vocab: int(h.n_vocab), CtxTrain: int(h.n_ctx_train),
		RMSEps: float32(h.rms_eps), RopeFreqBase: float32(h.rope_freq_base),
		RopeType: int(h.rope_type), AttnScale: float32(h.attn_scale), AttnCap: float32(h.attn_cap),
		LogitCap: float32(h.logit_cap),
		Tied:     bool(h.tied), Decodes: bool(h.decodes), Bytes: int64(h.n_bytes), Params: int64(h.n_params),
	}
}

// Desc is libllama's short description, such as "llama 135M Q4_1".
func (m Model) Desc() string {
	buf := make([]byte, 256)
	C.steer_model_desc(m.p, (*C.char)(unsafe.Pointer(&buf[0])), C.size_t(len(buf)))
	return cstring(buf)
}

// Tensor returns a weight by its GGUF name; nil if the model has none of that name.
func (m Model) Tensor(name string) Tensor {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	return Tensor{C.steer_model_tensor(m.p, c)}
}

// HasTokenizer tells whether the file holds one; without it libllama aborts on text.
func (m Model) HasTokenizer() bool { return bool(C.steer_has_tokenizer(m.p)) }

// Tokenize returns the tokens of text; ok is false if libllama failed on it.
func (m Model) Tokenize(text string, addSpecial, parseSpecial bool) (tokens []int32, ok bool) {
	b := []byte(text)
	tokens = make([]int32, len(b)+8)
	for {
		n := C.steer_tokenize(m.p, (*C.char)(ptr(b)), C.int32_t(len(b)), (*C.int32_t)(ptr(tokens)),
			C.int32_t(len(tokens)), C.bool(addSpecial), C.bool(parseSpecial))
		if n >= 0 {
			return tokens[:n], true
		}
		if int64(-n) <= int64(len(tokens)) || int64(-n) > 1<<30 {
			return nil, false
		}
		tokens = make([]int32, -n)
	}
}

// Detokenize renders tokens as text; ok is false if libllama failed on them.
func (m Model) Detokenize(tokens []int32, special bool) (text string, ok bool) {
	buf := make([]byte, 8*len(tokens)+64)
	for {
		n := C.steer_detokenize(m.p, (*C.int32_t)(ptr(tokens)), C.int32_t(len(tokens)), (*C.char)(ptr(buf)),
			C.int32_t(len(buf)), C.bool(special))
		if n >= 0 {
			return string(buf[:n]), true
		}
		if int64(-n) <= int64(len(buf)) || int64(-n) > 1<<30 {
			return "", false
		}
		buf = make([]byte, -n)
	}
}

// BOS and EOS are -1 where the vocabulary has none.
func (m Model) BOS() int32 { return int32(C.steer_token_bos(m.p)) }

// EOS returns the end-of-sequence token.
func (m Model) EOS() int32 { return int32(C.steer_token_eos(m.p)) }

// IsEOG tells whether a token ends a generation (EOS, end of turn, ...).
func (m Model) IsEOG(token int32) bool { return bool(C.steer_token_is_eog(m.p, C.int32_t(token))) }

// AddsBOS tells whether the tokenizer puts a BOS in front of every text.
func (m Model) AddsBOS() bool { return bool(C.steer_vocab_add_bos(m.p)) }

// Tensor is a tensor of a model, an adapter or a graph; the zero value is "none".
type Tensor struct{ p *C.steer_tensor }

// OK tells whether there is a tensor.
func (t Tensor) OK() bool { return t.p != nil }

// Shape returns ne, the extents in ggml order.
func (t Tensor) Shape() (ne [4]int64) {
	C.steer_tensor_shape(t.p, (*C.int64_t)(unsafe.Pointer(&ne[0])))
	return ne
}

// Type is ggml's name of the element type, such as "q4_K".
func (t Tensor) Type() string { return C.GoString(C.steer_tensor_type(t.p)) }

// Bytes is the size of the data.
func (t Tensor) Bytes() int64 { return int64(C.steer_tensor_bytes(t.p)) }

// SetF32 writes all of t.
func (t Tensor) SetF32(data []float32) {
	C.steer_tensor_set(t.p, ptr(data), 0, C.size_t(4*len(data)))
}

// SetI32 writes all of t.
func (t Tensor) SetI32(data []int32) {
	C.steer_tensor_set(t.p, ptr(data), 0, C.size_t(4*len(data)))
}

// GetF32 reads the first len(data) elements of t.
func (t Tensor) GetF32(data []float32) {
	C.steer_tensor_get(t.p, ptr(data), 0, C.size_t(4*len(data)))
}

func cstring(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
