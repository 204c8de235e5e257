package lm

// Chat is what a model's file says of conversations.
type Chat struct {
	// Template is the model's own chat template, in Jinja; "" where the file has none.
	Template string
	// Names are the special tokens as the template calls them (bos_token, eos_token, ...), spelled.
	Names map[string]string
	// Marks spells the special tokens of the vocabulary: those that only special text becomes.
	Marks []string
	// Ends spells the marks that end a turn or a text (eot, eom, eos), each once.
	Ends []string
}

// Chatter is implemented by tokenizers that know what their model's file says of conversations.
type Chatter interface {
	Chat() Chat
}
