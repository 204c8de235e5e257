package lm

import (
	"context"
	"errors"
	"strings"
)

// Sequence is one stream of tokens and what is asked of it. Sequences of a batch
// are laid end to end without padding; none sees another. Beginnings that they have in
// common may be computed once, which no answer shows (beyond rounding on a GPU).
type Sequence struct {
	// Tokens holds the token ids, [n], n >= 1.
	Tokens []int32
	// Targets lists, ascending, the positions i (1 <= i < n) whose
	// log-probability log p(Tokens[i] | Tokens[:i]) is wanted.
	Targets []int32
	// Heads lists, ascending, the positions i (0 <= i < n) at which the scalar
	// head w·h_i + b is read (h_i: hidden state after the final norm).
	Heads []int32
	// DropoutSeed selects this sequence's LoRA dropout masks when
	// Options.Dropout is set. The masks depend on nothing else of the batch.
	DropoutSeed uint64
}

// Options says how a batch is evaluated.
type Options struct {
	// Gradient keeps what Backward needs; without it Backward is an error.
	Gradient bool
	// Dropout switches the trainable adapter's LoRA dropout on.
	Dropout bool
	// Entropy asks for the entropy of the distribution that predicts each target.
	Entropy bool
	// EntropyGradient lets Backward take a gradient of the entropies too; it costs
	// another pass over the output matrix.
	EntropyGradient bool
	// Greedy asks whether each target is the most likely token.
	Greedy bool
	// Temperature divides the logits; 0 means 1.
	Temperature float32
}

// Output is the answer to a batch; the outer index is the sequence, the inner one
// runs over its Targets (Logprobs, Entropy, Greedy) or Heads.
type Output struct {
	Logprobs [][]float32 // nats
	Entropy  [][]float32 // nats; nil unless asked for
	Greedy   [][]bool    // nil unless asked for
	Heads    [][]float32 // raw head output, without normalisation
}

// Gradient is dLoss/dOutput, shaped like the Output it belongs to. A nil outer
// slice, or a nil inner one, means zero.
type Gradient struct {
	Logprobs [][]float32
	Entropy  [][]float32
	Heads    [][]float32
}

// Evaluator evaluates sequences under one stack of adapters (and perhaps a head).
type Evaluator interface {
	Forward(ctx context.Context, batch []Sequence, opt Options) (*Output, error)
}

// Learner is an Evaluator whose top adapter (and head) can be trained.
type Learner interface {
	Evaluator
	// Backward adds the gradient of the last Forward (which must have had
	// Options.Gradient set) to the accumulated parameter gradients.
	Backward(g Gradient) error
	// Update clips the accumulated gradients, takes one AdamW step and clears
	// them. It returns the global gradient norm before clipping.
	Update(u Update) (gradNorm float64, err error)
	// ZeroGrad drops the accumulated gradients.
	ZeroGrad() error
	// State copies parameters and optimizer moments out of the engine.
	State() (*State, error)
	// SetState puts them back; shapes and names must match exactly.
	SetState(*State) error
}

// Update holds the hyper-parameters of one AdamW step:
//
//	g *= min(1, MaxGradNorm / (|g| + 1e-6))
//	p *= 1 - LR*WeightDecay
//	m  = Beta1 m + (1-Beta1) g;  v = Beta2 v + (1-Beta2) g²
//	p -= LR * (m/(1-Beta1^t)) / (sqrt(v/(1-Beta2^t)) + Eps)
//
// as torch.optim.AdamW and torch.nn.utils.clip_grad_norm_ define it.
type Update struct {
	LR          float64
	Beta1       float64
	Beta2       float64
	Eps         float64
	WeightDecay float64
	// MaxGradNorm is the global-norm clip; 0 means no clipping.
	MaxGradNorm float64
}

// Tensor is a named f32 tensor in ggml dimension order (Shape[0] is contiguous).
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// State is everything a Learner needs to go on bit for bit: the trained
// parameters (LoRA pairs as "<weight>.lora_a"/".lora_b", head as "head.weight",
// "head.bias") and, in the same order and shapes, Adam's moments.
type State struct {
	Step   int64 // optimizer steps taken
	Params []Tensor
	M, V   []Tensor
}

// Sampling configures how next tokens are drawn. The zero value of a field
// switches that field off, except Temperature, where 0 means greedy.
type Sampling struct {
	Temperature float32
	TopK        int
	TopP        float32
	MinP        float32
}

// Request is one prompt to be continued.
type Request struct {
	Prompt     []int32
	MaxNew     int     // tokens
	Seed       uint64  // random stream of this request alone
	StopTokens []int32 // generation ends after one of these (it is kept)
	// StopStrings end generation when the decoded response contains one; the
	// response keeps the tokens up to and including the one that completed it.
	StopStrings []string
	// OnToken is told every token of the response as it is drawn, in order, by the goroutine
	// that called Generate; nil: nobody is.
	OnToken func(id int32) `json:"-"`
}

// FinishReason says why a generation ended.
type FinishReason string

// The reasons a generation can end for.
const (
	FinishLength     FinishReason = "length"
	FinishStopToken  FinishReason = "stop_token"
	FinishStopString FinishReason = "stop_string"
)

// Generation is the answer to a Request.
type Generation struct {
	Tokens []int32 // response only, stop token included
	Finish FinishReason
}

// Generator continues prompts, many at once. The answer to a request depends on
// that request and on the weights only up to the arithmetic of batching.
type Generator interface {
	Generate(ctx context.Context, reqs []Request, s Sampling) ([]Generation, error)
}

// Tokenizer turns text into the model's tokens and back.
type Tokenizer interface {
	// Encode tokenizes text. addSpecial adds BOS/EOS where the model's
	// tokenizer asks for it; parseSpecial reads "<|im_start|>" and the like as
	// the special tokens they spell.
	Encode(text string, addSpecial, parseSpecial bool) ([]int32, error)
	// Decode turns tokens into text; special tokens are rendered only if
	// special is set. Bytes that form no UTF-8 are kept as they are.
	Decode(tokens []int32, special bool) string
	// BOS and EOS return the ids, or -1 where the vocabulary has none.
	BOS() int32
	EOS() int32
	VocabSize() int
}

// Text decodes an answer: special tokens are left out, and what forms no UTF-8, as where it ends
// within a character, becomes U+FFFD, so that the text can be tokenized again.
func Text(t Tokenizer, tokens []int32) string {
	return strings.ToValidUTF8(t.Decode(tokens, false), "\uFFFD")
}

// Errors every implementation wraps.
var (
	// ErrContextFull: a sequence or prompt plus its continuation is longer than
	// the context the model or session was opened with.
	ErrContextFull = errors.New("longer than the context")
	// ErrNoGradient: Backward without a preceding Forward with Options.Gradient.
	ErrNoGradient = errors.New("no forward pass with gradient to go back through")
	// ErrBadToken: a token id outside the vocabulary.
	ErrBadToken = errors.New("token id out of range")
	// ErrOutOfMemory: a native allocation failed or would exceed the plan.
	ErrOutOfMemory = errors.New("out of memory")
)
