package rewards

import (
	"steer/ggml/adapter"
	"steer/rl/train"
)

// Result is how a run went; its JSON names are those of result.json (docs/rewards.md).
type Result struct {
	Stage   string `json:"stage"` // "reward"
	Name    string `json:"name"`
	Version string `json:"version"`

	Theory   TheoryName   `json:"theory"`
	Preset   train.Preset `json:"preset"`
	Form     Form         `json:"form"`
	Template string       `json:"template,omitempty"` // of the chat form
	Recipe   Recipe       `json:"recipe"`

	// TrainPairs and HeldOutPairs say where the pairs are from; Overlap what they share.
	TrainPairs   PartInfo `json:"train_pairs"`
	HeldOutPairs PartInfo `json:"held_out_pairs"`
	Overlap      Overlap  `json:"overlap"`
	// Train and HeldOut say what became of them as tokens.
	Train   EncodeCounts `json:"train_counts"`
	HeldOut EncodeCounts `json:"held_out_counts"`

	Steps  int64 `json:"steps"`
	Tokens int64 `json:"tokens"` // through the model in training
	// LossFirst is the loss of the first step, Loss the mean over the last (at most 50).
	LossFirst float64 `json:"loss_first"`
	Loss      float64 `json:"loss"`

	// Accuracy is that on all held-out pairs, Clean on those of them that share neither
	// prompt nor text with a train pair (nil where that is all or none of them).
	Accuracy Accuracy  `json:"accuracy"`
	Clean    *Accuracy `json:"accuracy_clean,omitempty"`
	// Chosen and Rejected describe the raw scores of the held-out sides; the histograms share their bins.
	Chosen   Distribution `json:"chosen"`
	Rejected Distribution `json:"rejected"`
	// Classification is that of single texts at the threshold 0; nil where pairs were
	// compared.
	Classification *Classification `json:"classification,omitempty"`
	// Normalisation is what was stored with the head; nil without.
	Normalisation *Normalisation `json:"normalisation,omitempty"`

	Warnings []string `json:"warnings"`
	// Adapter is the trained adapter with its head; nil without Deps.AdapterOf.
	Adapter *adapter.Adapter `json:"-"`
}

// Normalisation is what makes scores of the reference answers mean 0, deviation 1.
type Normalisation struct {
	Mean       float32 `json:"mean"`
	Std        float32 `json:"std"`
	References int     `json:"references"`
	// Source says what the reference answers were.
	Source string `json:"source"`
}

// Metadata keys of a reward adapter. What scores with it has to encode texts as these say.
const (
	MetaRole      = adapter.MetaRole // "reward"
	MetaTheory    = adapter.MetaTheory
	MetaForm      = adapter.MetaForm
	MetaTemplate  = adapter.MetaRewardTemplate
	MetaSystem    = adapter.MetaRewardSystem
	MetaEOS       = adapter.MetaEOS
	MetaMaxLength = adapter.MetaMaxLength
	MetaPairs     = adapter.MetaPairs
)
