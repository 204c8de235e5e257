package train

import "steer/ggml/lm"

// Micro cuts a batch into parts of size items, the last one perhaps shorter.
func Micro[T any](batch []T, size int) [][]T {
	var out [][]T
	for len(batch) > size {
		out, batch = append(out, batch[:size]), batch[size:]
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}

// MicroByTokens cuts a batch, in order, into parts of at most limit tokens. An item
// longer than limit is a part of its own.
func MicroByTokens(batch []lm.Sequence, limit int) [][]lm.Sequence {
	var out [][]lm.Sequence
	start, tokens := 0, 0
	for i, seq := range batch {
		if i > start && tokens+len(seq.Tokens) > limit {
			out = append(out, batch[start:i])
			start, tokens = i, 0
		}
		tokens += len(seq.Tokens)
	}
	if start < len(batch) {
		out = append(out, batch[start:])
	}
	return out
}
