package adapter

// PEFT stores the rows of q and k as transformers does: within a head of width d,
// RoPE pairs row i with row i+d/2 (rotate half). Some of GGUF's architectures (llama,
// granite, smollm3, mistral3) pair neighbours, 2i with 2i+1, and their converters permute
// the rows; the others keep transformers' order. For each head
//
//	gguf[2·i+j] = hf[j·d/2+i],  i < d/2, j in {0, 1}
//
// (LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py). The rows of a weight
// are the rows of lora_B; lora_A stays as it is.

// toGGUFRows reorders rows of width values from transformers' order to GGUF's.
func toGGUFRows(hf []float32, heads, headDim, width int) []float32 {
	out := make([]float32, len(hf))
	eachRow(heads, headDim, func(gguf, hfRow int) {
		copy(out[gguf*width:(gguf+1)*width], hf[hfRow*width:])
	})
	return out
}

// toHFRows is the inverse of toGGUFRows.
func toHFRows(gguf []float32, heads, headDim, width int) []float32 {
	out := make([]float32, len(gguf))
	eachRow(heads, headDim, func(ggufRow, hf int) {
		copy(out[hf*width:(hf+1)*width], gguf[ggufRow*width:])
	})
	return out
}

func eachRow(heads, headDim int, f func(gguf, hf int)) {
	half := headDim / 2
	for h := range heads {
		base := h * headDim
		for i := range half {
			for j := range 2 {
				f(base+2*i+j, base+j*half+i)
			}
		}
	}
}

// permutedHeads returns the number of heads whose rows a target permutes; 0 for a
// target that is the same in both orders.
func permutedHeads(target string, s Shape) int {
	if s.family().Halves {
		return 0
	}
	switch target {
	case "attn_q":
		return s.Heads
	case "attn_k":
		return s.KVHeads
	}
	return 0
}
