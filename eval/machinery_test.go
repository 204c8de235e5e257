package eval

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
)

func TestPythonRandom(t *testing.T) {
	for _, c := range []struct {
		text  string
		words [3]uint32
		order []int
	}{
		{"a", [3]uint32{1168357962, 2173948116, 289208638}, []int{0, 1}},
		{"I built a sandcastle with my nephew. We made one small castle.", [3]uint32{191502570, 1409668902, 112049181}, []int{1, 0}},
	} {
		r := newPythonRandom(c.text)
		require.Equal(t, c.words, [3]uint32{r.uint32(), r.uint32(), r.uint32()})
		order := []int{0, 1}
		shuffle(newPythonRandom(c.text), order)
		require.Equal(t, c.order, order)
	}
}

func TestEncodePair(t *testing.T) {
	text := func(ids []int32) string { return fakeTokenizer{}.Decode(ids, true) }
	for _, c := range []struct {
		name                  string
		mode                  BOSMode
		tok                   fakeTokenizer
		context, continuation string
		wantCtx, wantCont     string
	}{
		{"plain", BOSOff, fakeTokenizer{}, "ab", " c", "ab", " c"},
		{"trailing blanks move", BOSOff, fakeTokenizer{}, "ab \n", "c", "ab", " \nc"},
		{"python's separators are blanks too", BOSOff, fakeTokenizer{}, "ab\x1f", "c", "ab", "\x1fc"},
		{"bos on", BOSOn, fakeTokenizer{}, "ab", "c", "<s>ab", "c"},
		{"bos auto, tokenizer adds", BOSAuto, fakeTokenizer{addsBOS: true}, "ab", "c", "<s>ab", "c"},
		{"bos auto, tokenizer does not", BOSAuto, fakeTokenizer{}, "ab", "c", "ab", "c"},
		{"bos off wins", BOSOff, fakeTokenizer{addsBOS: true}, "ab", "c", "ab", "c"},
		{"bos not doubled", BOSOn, fakeTokenizer{}, "<s>ab", "c", "<s>ab", "c"},
		{"empty context gets bos", BOSOff, fakeTokenizer{}, "", "c", "<s>", "c"},
		{"empty context, bos on", BOSOn, fakeTokenizer{}, "", "c", "<s>", "c"},
		{"blank context", BOSOff, fakeTokenizer{}, "  ", "c", "<s>", "  c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := NewEncoder(c.tok, c.mode)
			require.NoError(t, err)
			ctx, cont, err := e.Pair(c.context, c.continuation)
			require.NoError(t, err)
			require.Equal(t, c.wantCtx, text(ctx))
			require.Equal(t, c.wantCont, text(cont))
		})
	}
	e, err := NewEncoder(fakeTokenizer{noBOS: true}, BOSAuto)
	require.NoError(t, err)
	ctx, _, err := e.Pair("", "c")
	require.NoError(t, err)
	require.Equal(t, []int32{fakeEOS}, ctx)
	_, _, err = e.Pair("a", "")
	require.ErrorContains(t, err, "no token of its own")
	_, err = NewEncoder(fakeTokenizer{noBOS: true}, BOSOn)
	require.ErrorContains(t, err, "no BOS token")
	_, err = NewEncoder(fakeTokenizer{}, "perhaps")
	require.ErrorContains(t, err, `want auto, on or off, got "perhaps"`)
}

func TestLikelihoodByHand(t *testing.T) {
	m := &bigram{scale: 3}
	got, err := Likelihoods(context.Background(), m, []Request{{Context: []int32{5, 6}, Continuation: []int32{7, 8}}}, 100, 100, nil)
	require.NoError(t, err)
	a, _ := m.logprob(6, 7, 1)
	b, _ := m.logprob(7, 8, 1)
	require.InDelta(t, a+b, got[0].LogProb, 1e-5)
	require.False(t, got[0].Greedy)
	require.Zero(t, got[0].Cut)

	best := int32(0)
	for v := range int32(fakeVocab) {
		if _, g := m.logprob(6, v, 1); g {
			best = v
		}
	}
	got, err = Likelihoods(context.Background(), m, []Request{{Context: []int32{6}, Continuation: []int32{best}}}, 100, 100, nil)
	require.NoError(t, err)
	require.True(t, got[0].Greedy)
}

// What a batch holds must not change an answer, and no batch may exceed its bound.
func TestLikelihoodBatches(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var reqs []Request
	for range 60 {
		ids := make([]int32, 3+r.IntN(30))
		for i := range ids {
			ids[i] = int32(r.IntN(fakeVocab))
		}
		k := max(1+r.IntN(len(ids)-1), len(ids)-20)
		reqs = append(reqs, Request{Context: ids[:k], Continuation: ids[k:]})
	}
	one, many := &bigram{scale: 1}, &bigram{scale: 1}
	a, err := Likelihoods(context.Background(), one, reqs, 20, 1, nil)
	require.NoError(t, err)
	require.Len(t, one.batches, len(reqs))
	done := 0
	var tokens int64
	b, err := Likelihoods(context.Background(), many, reqs, 20, 100, func(n int, k int64) { done, tokens = n, k })
	require.NoError(t, err)
	require.Equal(t, a, b)
	require.Equal(t, len(reqs), done)
	for i, n := range many.batches {
		require.LessOrEqual(t, n, 100)
		require.True(t, i == 0 || n <= many.batches[i-1], "the largest first")
	}
	require.EqualValues(t, many.tokens, tokens)
	require.LessOrEqual(t, many.longest, 21)
}

func TestTruncationKeepsContinuation(t *testing.T) {
	// Ten context tokens, three of continuation, max_length 6: the model is given
	// the last six of the first twelve, so four context tokens stay.
	ids := []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21, 22}
	s, cut, err := sequence(Request{Context: ids[:10], Continuation: ids[10:]}, 6)
	require.NoError(t, err)
	require.Equal(t, ids[6:], s.Tokens)
	require.Equal(t, []int32{4, 5, 6}, s.Targets)
	require.Equal(t, 6, cut)
	_, _, err = sequence(Request{Context: ids[:1], Continuation: ids[1:]}, 11)
	require.ErrorIs(t, err, ErrTooLong)
	s, cut, err = sequence(Request{Context: ids[:1], Continuation: ids[1:]}, 12)
	require.NoError(t, err)
	require.Zero(t, cut)
	require.Len(t, s.Tokens, 13)
}

func items(n int) []Item {
	out := make([]Item, n)
	for i := range out {
		out[i] = NewItem(string(rune('a'+i)), i, "question "+string(rune('a'+i)), " ", i%2, "no", "yes!")
	}
	return out
}

func TestChooseDecides(t *testing.T) {
	m := &bigram{scale: 2}
	records, err := Choose(context.Background(), subject(m), testSettings(), items(8), Progress{})
	require.NoError(t, err)
	for _, r := range records {
		best, norm := 0, 0
		if r.LogProbs[1] > r.LogProbs[0] {
			best = 1
		}
		if r.LogProbs[1]/4 > r.LogProbs[0]/2 {
			norm = 1
		}
		require.Equal(t, best, r.Pred)
		require.Equal(t, norm, *r.PredNorm)
	}
	// A tie goes to the first choice.
	r := decide(items(1)[0], []Likelihood{{LogProb: -1}, {LogProb: -1}})
	require.Zero(t, r.Pred)
}

func TestChooseRefuses(t *testing.T) {
	ctx, set := context.Background(), testSettings()
	_, err := Choose(ctx, subject(&bigram{}), set, nil, Progress{})
	require.ErrorIs(t, err, ErrNoItems)
	twice := items(2)
	twice[1].ID = twice[0].ID
	_, err = Choose(ctx, subject(&bigram{}), set, twice, Progress{})
	require.ErrorIs(t, err, ErrDuplicateID)
	label := items(2)
	label[1].Gold = 2
	_, err = Choose(ctx, subject(&bigram{}), set, label, Progress{})
	require.ErrorIs(t, err, ErrLabel)
	require.ErrorContains(t, err, `item "b" (row 1): gold 2 of 2 choices`)
	_, err = Choose(ctx, subject(&bigram{poison: true}), set, items(2), Progress{})
	require.ErrorIs(t, err, ErrNotFinite)
	_, err = Choose(ctx, subject(&bigram{failWith: lm.ErrContextFull}), set, items(2), Progress{})
	require.ErrorIs(t, err, lm.ErrContextFull)
	_, err = Choose(ctx, Subject{Name: "m"}, set, items(2), Progress{})
	require.ErrorContains(t, err, "need an evaluator and a tokenizer")
	set.MaxLength = 0
	_, err = Choose(ctx, subject(&bigram{}), set, items(2), Progress{})
	require.ErrorContains(t, err, "max_length")
	set = testSettings()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Choose(cancelled, subject(&bigram{}), set, items(2), Progress{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestTruncationIsFlagged(t *testing.T) {
	set := testSettings()
	set.MaxLength = 8
	b, records, err := choiceBenchmark(context.Background(), subject(&bigram{scale: 1}), set, items(4), "x", ProtocolLogLik, "v")
	require.NoError(t, err)
	require.Contains(t, b.Flags, "truncated=4")
	require.Equal(t, len("question a")+len(" yes!")-9, records[0].Cut)
}

func TestOneClassAndDegenerateFlags(t *testing.T) {
	set := testSettings()
	b := NewSummary("x", ProtocolLogLik, "m", "v", 3, set)
	require.NoError(t, b.AddBinary(Predictions{gold: []int{1, 1, 1}, pred: []int{1, 0, 1}, score: []float64{1, 2, 3}}))
	require.Equal(t, []string{"one_class"}, b.Flags)
	require.Zero(t, b.Metrics["mcc"])
	require.NotContains(t, b.Metrics, "auc")
	require.NotContains(t, b.Intervals, "mcc")
	b = NewSummary("x", ProtocolLogLik, "m", "v", 3, set)
	require.NoError(t, b.AddBinary(Predictions{gold: []int{1, 0, 1}, pred: []int{1, 1, 1}}))
	require.Equal(t, []string{"degenerate"}, b.Flags)
	for name, v := range b.Metrics {
		require.False(t, math.IsNaN(v), name)
	}
}

func TestRefusalsCountAsWrong(t *testing.T) {
	x := PredictionsOf([]Record{{Gold: 1, Pred: NoPrediction, Refused: true}, {Gold: 0, Pred: NoPrediction, Refused: true}, {Gold: 1, Pred: 1}})
	require.Equal(t, []int{0, 1, 1}, x.pred)
}

func TestModelsShareResamples(t *testing.T) {
	set := testSettings()
	a := NewSummary("scruples", ProtocolLogLik, "m1", "v", 9, set)
	b := NewSummary("scruples", ProtocolReward, "m2", "w", 9, set)
	x, err := a.Resamples(9)
	require.NoError(t, err)
	y, _ := b.Resamples(9)
	require.Equal(t, x, y)
}

func TestRecordsRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl.zst")
	score, norm := 1.5, 0
	want := []Record{
		{ID: "a", Row: 3, Gold: 1, Pred: 0, PredNorm: &norm, LogProbs: []float64{-1.25, -3}, Greedy: []bool{true, false}, Cut: 2},
		{ID: "b", Pred: NoPrediction, Refused: true, Answer: "I <am> not sure"},
		{ID: "c", Score: &score},
	}
	require.NoError(t, WriteRecords(path, want))
	got, err := ReadRecords[Record](path)
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = ReadRecords[AnswerRecord](path)
	require.ErrorContains(t, err, "unknown field")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, raw[:len(raw)-5], 0o600))
	_, err = ReadRecords[Record](path)
	require.ErrorContains(t, err, path)
	require.Error(t, WriteRecords(filepath.Join(path, "no", "folder"), want))
}
