package score

import "steer/rl/data"

// BOS says whether a text gets the beginning-of-sequence token; "" is BOSAuto where texts are taken as
// they are, and otherwise as the form of the conversation has it.
type BOS string

// The choices.
const (
	BOSAuto BOS = "auto" // as the model's tokenizer does
	BOSOn   BOS = "on"
	BOSOff  BOS = "off"
)

// Values implements conf.Enum.
func (BOS) Values() []string { return []string{string(BOSAuto), string(BOSOn), string(BOSOff)} }

// Positions says where the scalar head is read.
type Positions string

// The choices.
const (
	LastPosition Positions = "last"
	AllPositions Positions = "all"
)

// Values implements conf.Enum.
func (Positions) Values() []string { return []string{string(LastPosition), string(AllPositions)} }

// Options say what is evaluated, and how texts become tokens.
type Options struct {
	// Logprobs, Entropy and Head ask for results. Without any of them it is the head where the last
	// adapter with one is a reward model's, else the log-probabilities.
	Logprobs, Entropy, Head bool
	// Positions are those of the head.
	Positions Positions
	// BOS given asks for texts as they are: not in the form of a reward model or of the adapters.
	BOS BOS
	// Special has special tokens such as <|im_end|> read in texts without a template.
	Special bool
	// Template puts a text as a user's message and answers as the assistant's; "" for none.
	Template data.TemplateName
	// System is the message of Template; nil is the one it was trained with, or its own.
	System *string
	// Overlong says what becomes of sequences longer than the model's context.
	Overlong data.Overlong
	// BatchTokens bounds the tokens that are evaluated at once.
	BatchTokens int
}

// Default are the options of somebody who says nothing.
func Default() Options {
	return Options{Positions: LastPosition, Special: true, Overlong: data.OverlongError, BatchTokens: 2048}
}
