package run

import (
	"errors"
	"fmt"

	"steer/internal/recordfile"
)

// NoPrediction is the prediction of an item that was not answered.
const NoPrediction = -1

// Item is what one model did on one item: enough to redo every test without the
// model.
type Item struct {
	ID   string `json:"id"`
	Row  int    `json:"row"` // 0-based data row of the source file
	Gold int    `json:"gold"`
	// Pred is the predicted class, or NoPrediction for a refusal.
	Pred     int       `json:"pred"`
	PredNorm *int      `json:"pred_norm,omitempty"` // by length-normalised likelihood
	LogProbs []float64 `json:"logprobs,omitempty"`  // of each choice, nats
	Greedy   []bool    `json:"is_greedy,omitempty"` // of each choice
	Score    *float64  `json:"score,omitempty"`     // raw reward score
	Refused  bool      `json:"refused,omitempty"`
	Cut      int       `json:"cut,omitempty"`    // tokens lost by truncation
	Answer   string    `json:"answer,omitempty"` // generated text

	Scores []float64 `json:"scores,omitempty"` // score of each choice, higher is preferred
	Tie    bool      `json:"tie,omitempty"`    // the best choices score the same; Pred is NoPrediction
	Votes  []int     `json:"votes,omitempty"`  // of the annotators, by choice
	Group  string    `json:"group,omitempty"`  // subset that is reported apart
	Pair   string    `json:"pair,omitempty"`   // items of one pair are two versions of one sentence
	// Human is the answer of other annotators, where the data set has one.
	Human *int `json:"human,omitempty"`
	// Toxicity is the mean judgement of the annotators, 1 to 5.
	Toxicity *float64 `json:"toxicity,omitempty"`
	Tokens   int      `json:"tokens,omitempty"` // scored or generated
	KL       *float64 `json:"kl,omitempty"`     // nats, summed over the tokens
	// Prompt is what was continued by Answer.
	Prompt string `json:"prompt,omitempty"`
}

// Prediction is what a comparison of models reads of an [Item]; Gold and Pred are nil where a record
// of another program has none.
type Prediction struct {
	ID   string `json:"id"`
	Gold *int   `json:"gold"`
	// Pred is the predicted class; NoPrediction with Refused or Tie.
	Pred     *int      `json:"pred"`
	Refused  bool      `json:"refused"`
	Tie      bool      `json:"tie"`
	LogProbs []float64 `json:"logprobs"` // of each choice, nats
}

// Answer is one answer of the cross-reward matrix with all that was measured on it.
type Answer struct {
	ID     string             `json:"id"` // of the prompt
	Policy string             `json:"policy"`
	Answer string             `json:"answer"`
	Tokens int                `json:"tokens"`
	Finish string             `json:"finish"`
	Raw    map[string]float64 `json:"raw"` // score by reward
	KL     float64            `json:"kl"`  // k1
	KLK3   float64            `json:"kl_k3"`
}

// WriteRecords writes values one JSON object a line, Zstandard compressed, whole or
// not at all.
func WriteRecords[T any](path string, records []T) error {
	if err := recordfile.Write(path, records); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// ReadRecords reads what [WriteRecords] wrote. An unknown field is an error: the
// file then is of another kind or version.
func ReadRecords[T any](path string) ([]T, error) {
	records, err := recordfile.Read[T](path, recordfile.RefuseUnknown)
	if bad := (*recordfile.Error)(nil); errors.As(err, &bad) {
		return nil, fmt.Errorf("eval: %w (was the file written by this version?)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	return records, nil
}

// ReadParts reads of a file of records what T has fields for. Others are let be, so that records of
// other benchmarks and programs can be read.
func ReadParts[T any](path string) ([]T, error) {
	records, err := recordfile.Read[T](path, recordfile.IgnoreUnknown)
	if bad := (*recordfile.Error)(nil); errors.As(err, &bad) {
		return nil, fmt.Errorf("%w (want Zstandard-compressed JSON Lines)", err)
	}
	return records, err
}
