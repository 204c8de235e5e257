package result

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"steer/internal/atomicfile"
)

// NoPrediction is the prediction of an item that was not answered.
const NoPrediction = -1

// Record is what one model did on one item: enough to redo every test without the
// model.
type Record struct {
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

// WriteRecords writes values one JSON object a line, Zstandard compressed, whole or
// not at all.
func WriteRecords[T any](path string, records []T) (err error) {
	f, err := atomicfile.Create(path)
	if err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("eval: %s: %w", path, errors.Join(err, f.Abort()))
		}
	}()
	z, err := zstd.NewWriter(f, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	for i := range records {
		if err := enc.Encode(records[i]); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Commit()
}

// ReadRecords reads what [WriteRecords] wrote. An unknown field is an error: the
// file then is of another kind or version.
func ReadRecords[T any](path string) ([]T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("eval: %w", err)
	}
	defer f.Close()
	z, err := zstd.NewReader(bufio.NewReader(f), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
	if err != nil {
		return nil, fmt.Errorf("eval: %s: %w", path, err)
	}
	defer z.Close()
	dec := json.NewDecoder(z)
	dec.DisallowUnknownFields()
	var out []T
	for {
		var r T
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("eval: %s: record %d: %w (was the file written by this version?)", path, len(out)+1, err)
		}
		out = append(out, r)
	}
}
