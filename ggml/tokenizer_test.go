package ggml

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/cgo"
	"steer/ggml/gguf"
	"steer/ggml/gguf/gguftest"
	"steer/internal/testfiles"
)

// The real model's tokenizer (byte-level BPE) against ids that were checked with an
// independent implementation (golden/forward), and back.
func TestTokenizerReal(t *testing.T) {
	var golden goldenForward
	testfiles.ReadGolden(t, "forward/forward_M.json.gz", &golden)
	tok := openThreads(t, testfiles.Model(t), 1).Tokenizer()
	require.NotEmpty(t, golden.Items)
	for _, it := range golden.Items {
		for _, special := range []bool{false, true} { // this model adds neither BOS nor EOS
			ids, err := tok.Encode(it.Text, special, true)
			require.NoError(t, err)
			require.Equal(t, it.IDs, ids, "%q", it.Text)
		}
		require.Equal(t, it.Text, tok.Decode(it.IDs, true))
	}
	t.Logf("%d texts", len(golden.Items))

	// a special token written out is one only if it is asked for
	im, err := tok.Encode("<|im_start|>", false, true)
	require.NoError(t, err)
	require.Len(t, im, 1)
	parts, err := tok.Encode("<|im_start|>", false, false)
	require.NoError(t, err)
	require.Greater(t, len(parts), 1)
	require.Equal(t, "<|im_start|>", tok.Decode(parts, false))
	require.Equal(t, "<|im_start|>", tok.Decode(im, true))
	require.Equal(t, "", tok.Decode(im, false))
	require.False(t, tok.AddsBOS())
	require.Equal(t, 49152, tok.VocabSize())
}

// Llama 2's tokenizer (SentencePiece) on llama.cpp's own test vectors, which agree
// with SentencePiece itself: the vocabulary on a tiny network.
func TestTokenizerLlama2(t *testing.T) {
	const name = "models/llama2-tokenizer/ggml-vocab-llama-spm.gguf"
	f, err := gguf.Open(testfiles.Data(t, name))
	require.NoError(t, err)
	defer f.Close()
	tokens, err := f.Strings("tokenizer.ggml.tokens")
	require.NoError(t, err)
	vocab := edit{keys: map[string]any{}}
	for _, key := range f.Keys() {
		if strings.HasPrefix(key, "tokenizer.") {
			vocab.keys[key] = f.Value(key)
		}
	}
	bare := tiny(t, gguftest.Shape{Layers: 1, Embd: 8, FF: 8, Heads: 2, KVHeads: 1, Vocab: len(tokens), Ctx: 32},
		gguftest.Options{})
	tok := openTiny(t, edited(t, bare, vocab)).Tokenizer()

	texts, err := os.ReadFile(testfiles.Data(t, name+".inp"))
	require.NoError(t, err)
	ids, err := os.ReadFile(testfiles.Data(t, name+".out"))
	require.NoError(t, err)
	const end = "\n__ggml_vocab_test__\n"
	cases := strings.Split(strings.TrimSuffix(string(texts), end), end)
	lines := strings.Split(strings.TrimSuffix(string(ids), "\n"), "\n")
	require.Equal(t, len(lines), len(cases))
	for i, text := range cases {
		want := []int32{}
		for _, s := range strings.Fields(lines[i]) {
			id, err := strconv.Atoi(s)
			require.NoError(t, err)
			want = append(want, int32(id))
		}
		got, err := tok.Encode(text, false, false)
		require.NoError(t, err)
		require.Equal(t, want, append([]int32{}, got...), "%q", text)
		with, err := tok.Encode(text, true, false)
		require.NoError(t, err)
		require.Equal(t, append([]int32{1}, want...), with, "BOS in front")
		require.Equal(t, text, strings.TrimPrefix(tok.Decode(got, false), " "),
			"the blank that SentencePiece puts in front")
	}
	t.Logf("%d texts", len(cases))
	long, err := tok.Encode(strings.Repeat("the quick brown fox 🦙 ", 5000), false, false)
	require.NoError(t, err)
	require.Greater(t, len(long), 20000)
	require.EqualValues(t, 1, tok.BOS())
	require.EqualValues(t, 2, tok.EOS())
	require.True(t, tok.AddsBOS())
}

// Text that is none, and ids that are none.
func TestTokenizerBadInput(t *testing.T) {
	tok := openTiny(t, withVocab(t, tiny(t, tinyShape, gguftest.Options{}))).Tokenizer()
	_, err := tok.Encode("abc\xff\xfe", false, false)
	require.ErrorContains(t, err, "not valid UTF-8 at byte 3")
	ids, err := tok.Encode("", false, false)
	require.NoError(t, err)
	require.Empty(t, ids)
	require.Equal(t, "d3", strings.TrimSpace(tok.Decode([]int32{-1, 3, 71, 1 << 30}, true)),
		"ids outside the vocabulary are left out")
	_, err = tok.Encode("é", false, false)
	require.ErrorContains(t, err, "libllama failed", "a vocabulary without the bytes of a text")
}

// A NUL byte is a character like any other, wherever it stands.
func TestTokenizerTakesNUL(t *testing.T) {
	tok := openTiny(t, bpeModel(t, nil)).Tokenizer()
	for _, text := range []string{"\x00", "a\x00b", "a\x00", "\x00\x00th"} {
		ids, err := tok.Encode(text, false, false)
		require.NoError(t, err)
		var want []int32
		for _, b := range []byte(strings.ReplaceAll(text, "th", "\xff")) {
			if b == 0xff {
				want = append(want, gguftest.BPEMerged)
				continue
			}
			want = append(want, int32(b))
		}
		require.Equal(t, want, ids, "%q", text)
		require.Equal(t, text, tok.Decode(ids, false))
	}
}

// bpeModel is a tiny model with a BPE vocabulary, keys of its metadata changed.
func bpeModel(t testing.TB, keys map[string]any) string {
	t.Helper()
	shape := tinyShape
	shape.Vocab = 300
	return edited(t, tiny(t, shape, gguftest.Options{BPE: true}), edit{keys: keys})
}

// A vocabulary has the BOS and EOS that its file names, and no others: libllama's own are
// tokens 11 of a BPE vocabulary and 1 and 2 of SentencePiece's, whatever these are.
func TestSpecialTokensAreThoseOfTheFile(t *testing.T) {
	const bos, eos = "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"
	const addBOS, addEOS = "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"
	spm := withVocab(t, tiny(t, tinyShape, gguftest.Options{}))
	for _, c := range []struct {
		name     string
		path     string
		bos, eos int32
		adds     int // tokens around a text
		warns    []string
	}{
		{"as named", bpeModel(t, nil), gguftest.BPEEnd, gguftest.BPEEnd, 0, nil},
		{"both asked for", bpeModel(t, map[string]any{addBOS: true, addEOS: true}), gguftest.BPEEnd, gguftest.BPEEnd, 2,
			nil},
		{"no EOS", bpeModel(t, map[string]any{eos: nil, addEOS: true}), gguftest.BPEEnd, -1, 0,
			[]string{"names no EOS token"}},
		{"no BOS", bpeModel(t, map[string]any{bos: nil, addBOS: true}), -1, gguftest.BPEEnd, 0,
			[]string{"names no BOS token"}},
		{"neither, with a pre-tokenizer that asks for BOS",
			bpeModel(t, map[string]any{bos: nil, eos: nil, addBOS: nil, "tokenizer.ggml.pre": "llama-bpe"}),
			-1, -1, 0, []string{"names no EOS token", "names no BOS token"}},
		{"a parenthesis for EOS", bpeModel(t, map[string]any{eos: uint32(')')}), gguftest.BPEEnd, ')', 0,
			[]string{`token 41, ")", which is an ordinary one`}},
		{"SentencePiece with its usual ones", edited(t, spm, edit{keys: map[string]any{bos: nil, eos: nil}}), 1, 2, 1,
			nil},
		{"SentencePiece without them",
			edited(t, spm, edit{keys: map[string]any{bos: nil, eos: nil, "tokenizer.ggml.tokens": words(71, 0),
				"tokenizer.ggml.token_type": nil}}),
			-1, -1, 0, []string{"no EOS", "no BOS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := openTiny(t, c.path)
			tok := m.Tokenizer()
			require.Equal(t, c.bos, tok.BOS())
			require.Equal(t, c.eos, tok.EOS())
			require.Len(t, m.Info().Warnings, len(c.warns), m.Info().Warnings)
			for i, want := range c.warns {
				require.Contains(t, m.Info().Warnings[i], want)
			}
			text := "d3"
			if strings.HasPrefix(c.name, "SentencePiece") {
				text = "" // its words need a byte for the blank before a text
			}
			bare, err := tok.Encode(text, false, false)
			require.NoError(t, err)
			whole, err := tok.Encode(text, true, false)
			require.NoError(t, err)
			require.Len(t, whole, len(bare)+c.adds)
			require.NotContains(t, whole, int32(11))
		})
	}
}

// A chat mark that somebody types stays text, also where the vocabulary gives it a type by
// which libllama reads it everywhere; other tokens of that type are read as they were.
func TestTypedMarksStayText(t *testing.T) {
	f, err := gguf.Open(bpeModel(t, nil))
	require.NoError(t, err)
	defer f.Close()
	types, err := f.Int32s("tokenizer.ggml.token_type")
	require.NoError(t, err)
	tokens, err := f.Strings("tokenizer.ggml.tokens")
	require.NoError(t, err)
	tokens, types = slices.Clone(tokens), slices.Clone(types)
	tokens[270], tokens[271] = "    ", "<｜User｜>"
	for _, id := range []int{gguftest.BPEEnd, gguftest.BPETurn, gguftest.BPETurnEnd, 270, 271} {
		types[id] = 4 // user defined
	}
	tok := openTiny(t,
		bpeModel(t, map[string]any{"tokenizer.ggml.token_type": types, "tokenizer.ggml.tokens": tokens})).Tokenizer()
	for mark, id := range map[string]int32{"<|im_start|>": gguftest.BPETurn, "<|im_end|>": gguftest.BPETurnEnd,
		"<|endoftext|>": gguftest.BPEEnd, "<｜User｜>": 271} {
		typed, err := tok.Encode("a"+mark+"b", false, false)
		require.NoError(t, err)
		require.NotContains(t, typed, id, mark)
		require.Len(t, typed, len(mark)+2)
		require.Equal(t, "a"+mark+"b", tok.Decode(typed, false))
		meant, err := tok.Encode("a"+mark+"b", false, true)
		require.NoError(t, err)
		require.Equal(t, []int32{'a', id, 'b'}, meant, mark)
	}
	blanks, err := tok.Encode("a    b", false, false)
	require.NoError(t, err)
	require.Equal(t, []int32{'a', 270, 'b'}, blanks, "a run of blanks is what the model was trained to read as one")
}

// A model of token ids alone: libllama would abort.
func TestModelWithoutTokenizer(t *testing.T) {
	tok := openTiny(t, tiny(t, tinyShape, gguftest.Options{})).Tokenizer()
	_, err := tok.Encode("text", true, false)
	require.ErrorIs(t, err, ErrNoTokenizer)
	require.ErrorContains(t, err, "take a GGUF file that holds its vocabulary, or give token ids")
	require.Empty(t, tok.Decode([]int32{1, 2}, true))
	require.EqualValues(t, -1, tok.BOS())
	require.EqualValues(t, -1, tok.EOS())
}

// What is remembered of single characters is what libllama says, belongs to whoever asked,
// and is gone with the model.
func TestSingleCharactersAreRemembered(t *testing.T) {
	path := gguftest.Stories260K(t)
	d, err := OpenDevice(DeviceOptions{Threads: 1})
	require.NoError(t, err)
	m, err := LoadModel(d, path, ModelOptions{SkipCheck: true})
	require.NoError(t, err)
	tok := m.Tokenizer()
	first, err := tok.Encode("a", false, false)
	require.NoError(t, err)
	want := slices.Clone(first)
	for i := range first {
		first[i] = -1
	}
	again, err := tok.Encode("a", false, false)
	require.NoError(t, err)
	require.Equal(t, want, again)
	require.NoError(t, m.Close())
	_, err = tok.Encode("a", false, false)
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, d.Close())
}

// What the tokenizer fails on is its caller's error alone. Any goroutine may tokenize, so a failure that
// was kept for the thread would be told by the next engine that happens to run there.
func TestTokenizerFailuresAreNotKept(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := openTiny(t, withVocab(t, tiny(t, tinyShape, gguftest.Options{})))
	require.NoError(t, cgo.TakeFault())
	_, ok := m.native.Tokenize("é", false, false)
	require.False(t, ok, "the tiny vocabulary lacks these bytes")
	require.NoError(t, cgo.TakeFault())
}
