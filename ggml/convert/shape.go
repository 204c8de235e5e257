package convert

// shape is the size of a model's parts.
type shape struct {
	layers, embd, ff int
	heads, kvHeads   int
	headDim          int // width of a head
	vocab            int // rows of the embedding
	context          int // tokens
	tied             bool
}

func shapeOf(s *settings) shape {
	sh := shape{
		layers: s.count("num_hidden_layers"), embd: s.count("hidden_size"), ff: s.count("intermediate_size"),
		heads: s.count("num_attention_heads"), vocab: s.count("vocab_size"),
		context: s.count("max_position_embeddings"), tied: s.flag(tiedKey),
	}
	sh.kvHeads = sh.heads
	if s.has("num_key_value_heads") {
		sh.kvHeads = s.count("num_key_value_heads")
	}
	if s.err != nil {
		return sh
	}
	if sh.heads%sh.kvHeads != 0 {
		s.fail("num_attention_heads is %d, num_key_value_heads %d: want a multiple", sh.heads, sh.kvHeads)
	}
	if s.has("head_dim") {
		sh.headDim = s.count("head_dim")
	} else if sh.headDim = sh.embd / sh.heads; sh.headDim*sh.heads != sh.embd {
		s.fail("hidden_size is %d, num_attention_heads %d: want a multiple where there is no "+
			"head_dim", sh.embd, sh.heads)
	}
	if sh.headDim%2 != 0 {
		s.fail("a head is %d wide: want an even number", sh.headDim)
	}
	return sh
}

// dims are the rows and columns of a linear or a norm, by its GGUF name. One column: a vector of so many rows.
func (sh shape) dims(f *family, part string) (rows, cols int) {
	q, kv := sh.heads*sh.headDim, sh.kvHeads*sh.headDim
	switch part {
	case "attn_q":
		return q, sh.embd
	case "attn_k", "attn_v":
		return kv, sh.embd
	case "attn_qkv":
		return q + 2*kv, sh.embd
	case "attn_output":
		return sh.embd, q
	case "ffn_gate":
		return sh.ff, sh.embd
	case "ffn_up":
		if f.fused {
			return 2 * sh.ff, sh.embd
		}
		return sh.ff, sh.embd
	case "ffn_down":
		return sh.embd, sh.ff
	case "token_embd", "output":
		return sh.vocab, sh.embd
	case "attn_q_norm":
		if f.wholeNorms {
			return q, 1
		}
		return sh.headDim, 1
	case "attn_k_norm":
		if f.wholeNorms {
			return kv, 1
		}
		return sh.headDim, 1
	}
	return sh.embd, 1 // norms
}
