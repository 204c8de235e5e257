package rewards

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/rl/data"
	"steer/rl/run"
	"steer/rl/train/traintest"
)

const toxigenHeader = "text,target_group,factual?,ingroup_effect,lewd,framing,predicted_group,stereotyping,intent," +
	"toxicity_ai,toxicity_human,predicted_author,label,actual_method\n"

func toxigen(t *testing.T, rows ...string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(toxigenHeader)
	for _, r := range rows {
		text, toxicity, _ := strings.Cut(r, "|")
		fmt.Fprintf(&b, "\"%s\",g,f,i,l,f,p,s,1,%s,%s,human,hate,TopK\n", text, toxicity, toxicity)
	}
	return write(t, "toxigen.csv", b.String())
}

func TestStatements(t *testing.T) {
	theory, err := Lookup(Toxicity)
	require.NoError(t, err)
	// 2.75 twice is 5.5, which is not above 5.5.
	part, err := theory.load(data.Source{Path: toxigen(t, "kind words |1", "rude words|2.76", "hm|2.75")}, "", 0)
	require.NoError(t, err)
	require.Len(t, part.Pairs, 3)
	require.Equal(t, string(RecipeRows), part.Info.Recipe)
	kind, rude := part.Pairs[0], part.Pairs[1]
	require.Equal(t, data.SideRejected, kind.Missing)
	require.Equal(t, []data.Message{{Role: "user", Content: "What do you think?"},
		{Role: "assistant", Content: "kind words"}}, kind.ChosenTurns)
	require.Empty(t, kind.Rejected)
	require.Equal(t, data.SideChosen, rude.Missing)
	require.Equal(t, "rude words", rude.Rejected)
	require.Equal(t, data.SideRejected, part.Pairs[2].Missing)

	for _, form := range Form("").Values() {
		cfg := Default()
		cfg.Form, cfg.Template = Form(form), data.TemplateGuanaco
		enc, err := NewEncoder(cfg, traintest.Letters{})
		require.NoError(t, err)
		pairs, counts, err := enc.Pairs(part.Pairs)
		require.NoError(t, err)
		require.Equal(t, 3, counts.Kept)
		require.Nil(t, pairs[0].Rejected)
		require.Equal(t, 1, strings.Count(traintest.Letters{}.Decode(pairs[0].Chosen, false), "kind words"))
		require.Nil(t, pairs[1].Chosen)
		text := traintest.Letters{}.Decode(pairs[1].Rejected, false)
		require.True(t, strings.HasSuffix(text, "rude words"), text)
		require.Equal(t, form == string(FormChat), strings.Contains(text, "human"), text)
	}

	// A missing side is no text that train and held-out rows could share.
	o := OverlapOf(part.Pairs[:2], part.Pairs)
	require.Equal(t, 2, o.OneSide)
	require.Equal(t, 2, o.WholePair)
	require.Zero(t, o.BothSides)
	require.Equal(t, 1, o.Clean)
}

// The loss of a labelled text is the logistic loss of its score, its gradient that of
// the mean over the mini-batch, whatever the micro-batches are.
func TestStatementGradient(t *testing.T) {
	tr := &trainer{cfg: Config{Centre: 0.5}}
	ids := []int32{1}
	f := func(kind, rude float64) float64 {
		return (math.Log1p(math.Exp(-kind)) + math.Log1p(math.Exp(rude))) / 2
	}
	const kind, rude, h = 0.7, -0.4, 1e-6
	var b batchStats
	heads, g := [][]float32{{kind}, {rude}}, make([][]float32, 2)
	require.Equal(t, 1, tr.pairGradient(EncodedPair{Chosen: ids}, heads, g, 2, &b))
	require.Equal(t, 1, tr.pairGradient(EncodedPair{Rejected: ids}, heads[1:], g[1:], 2, &b))
	require.InDelta(t, f(kind, rude), b.Loss/2, 1e-7)
	require.InDelta(t, (f(kind+h, rude)-f(kind-h, rude))/(2*h), float64(g[0][0]), 1e-6)
	require.InDelta(t, (f(kind, rude+h)-f(kind, rude-h))/(2*h), float64(g[1][0]), 1e-6)
	require.Equal(t, 2, b.Correct)

	// A whole pair between them takes two heads, and is centred.
	heads, g = [][]float32{{1}, {2}}, make([][]float32, 2)
	require.Equal(t, 2, tr.pairGradient(EncodedPair{Chosen: ids, Rejected: ids}, heads, g, 1, &b))
	_, dc, dr := PairLoss(1, 2, 0, 0.5)
	require.InDelta(t, dc, float64(g[0][0]), 1e-6)
	require.InDelta(t, dr, float64(g[1][0]), 1e-6)
}

func TestClassification(t *testing.T) {
	c := ClassificationOf([]float32{2, -1, 0}, []float32{-2, 1})
	require.Equal(t, 3, c.Chosen)
	require.InDelta(t, (1.0/3+1.0/2)/2, c.BalancedAcc, 1e-12)
	require.InDelta(t, (1*1-1*2)/math.Sqrt(2*3*2*3), c.MCC, 1e-12)
	require.InDelta(t, (2+1+1)/6.0, c.AUC, 1e-12)
	c = ClassificationOf([]float32{1}, nil)
	require.Equal(t, 0.5, c.AUC)
	require.Zero(t, c.MCC)
	require.EqualValues(t, 1, c.BalancedAcc)
}

func TestTrainStatements(t *testing.T) {
	var rows []string
	for i := range 60 {
		text, toxicity := []string{"i helped her.", "we shared it.", "he thanked me."}[i%3], 1
		if i%2 == 0 {
			text, toxicity = []string{"go away!", "i hit him!", "no, never!"}[i%3], 5
		}
		rows = append(rows, fmt.Sprintf("day %d: %s|%d", i, text, toxicity))
	}
	cfg := toyConfig(toxigen(t, rows...))
	cfg.Theory, cfg.Epochs, cfg.Optim.LR = Toxicity, 60, 0.02
	cfg.MicroBatchSize, cfg.MicroBatchTokens = 0, 90
	require.NoError(t, cfg.Validate())
	dir := t.TempDir()
	res, err := trainToy(t, cfg, dir, func(*Deps) {})
	require.NoError(t, err)
	require.Equal(t, 15, res.Accuracy.N)
	require.Greater(t, *res.Accuracy.Lo, 0.5) // the toy sees little of a text but its end
	require.Less(t, res.Loss, math.Ln2-0.03)
	require.NotNil(t, res.Classification)
	require.Equal(t, 15, res.Classification.Chosen+res.Classification.Rejected)
	require.Greater(t, res.Classification.AUC, 0.9)
	require.Equal(t, res.Classification.Chosen, res.Chosen.N)
	require.Equal(t, 15, res.Normalisation.References)
	a, err := adapter.Load(filepath.Join(dir, run.AdapterFile))
	require.NoError(t, err)
	require.Equal(t, "toxicity", a.Meta[MetaTheory])

	// Micro-batches of one and of many give one trajectory, up to the order of sums.
	again := cfg
	again.MicroBatchSize, again.MicroBatchTokens, again.MiniBatchSize = 1, 0, 4
	other, err := trainToy(t, again, t.TempDir(), nil)
	require.NoError(t, err)
	require.InDelta(t, res.Loss, other.Loss, 1e-4)
}
