package data

import (
	"fmt"
	"slices"
	"strings"
)

// Roles of a message.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is one turn.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	// Masked: its tokens never count in the loss (weight 0 and the like in the file).
	Masked bool `json:"-"`
}

// Conversation is a dialogue from any of the chat formats.
type Conversation struct {
	Messages []Message
	// Plain says that the row was a prompt and a completion as running text,
	// which the "plain" template lays end to end.
	Plain bool
	// Asked says that the messages are a prompt as a whole, earlier answers included.
	Asked  bool
	Source string // file
	Line   int    // line, or row for parquet
	// Fields are the row's other columns, where they were asked for.
	Fields map[string]any
}

// ID names the row: by its column id, where it was read, or by its place.
func (c Conversation) ID() string {
	if id, ok := c.Fields["id"]; ok && id != nil && id != "" {
		return fmt.Sprint(id)
	}
	return fmt.Sprintf("line %d", c.Line)
}

// Prompt gives the messages before the last assistant message, and that message.
// found is false when there is no assistant message or nothing before it.
func (c Conversation) Prompt() (prompt []Message, answer Message, found bool) {
	for i := len(c.Messages) - 1; i > 0; i-- {
		if c.Messages[i].Role == RoleAssistant {
			return c.Messages[:i], c.Messages[i], true
		}
	}
	return nil, Message{}, false
}

// FirstPrompt gives the messages up to and without the first assistant message:
// what the thesis asked its policies; of a prompt, all. It is nil where no user message with more than blanks is
// among them: then nothing is asked, and a template would write bare headers.
func (c Conversation) FirstPrompt() []Message {
	end := slices.IndexFunc(c.Messages, func(m Message) bool { return m.Role == RoleAssistant })
	if end < 0 || c.Asked {
		end = len(c.Messages)
	}
	prompt := c.Messages[:end]
	if !slices.ContainsFunc(prompt, func(m Message) bool {
		return m.Role == RoleUser &&
			strings.TrimSpace(m.Content) != ""
	}) {
		return nil
	}
	return prompt
}

// Text lays the contents end to end.
func (c Conversation) Text() string {
	var b strings.Builder
	for _, m := range c.Messages {
		b.WriteString(m.Content)
	}
	return b.String()
}

// Pair is a preference: two continuations of one context.
type Pair struct {
	// Prompt is the shared text; the text of a side is Prompt+Chosen or
	// Prompt+Rejected, nothing in between. It may be empty.
	Prompt, Chosen, Rejected string
	// ChosenTurns and RejectedTurns are the same two sides as conversations,
	// ending in an assistant message. Nil where the source has no turns; then
	// the side is {user: Prompt}, {assistant: Chosen}.
	ChosenTurns, RejectedTurns []Message
	// ChosenIDs and RejectedIDs hold pre-tokenised sides; the texts are then empty.
	ChosenIDs, RejectedIDs []int32
	// Missing names a side that does not exist: the other is a text with a label, good
	// (only Chosen) or bad (only Rejected).
	Missing PairSide
	// Margin is by how much the chosen side should win, in units of score; 0 if unknown.
	Margin float64
	Source string
	Line   int
}

// PairSide is a side of a pair.
type PairSide string

// The sides.
const (
	SideNone     PairSide = ""
	SideChosen   PairSide = "chosen"
	SideRejected PairSide = "rejected"
)

// Turns gives both sides as conversations, see ChosenTurns.
func (p Pair) Turns() (chosen, rejected []Message) {
	side := func(turns []Message, answer string) []Message {
		if turns != nil {
			return turns
		}
		if p.Prompt == "" {
			return []Message{{Role: RoleAssistant, Content: answer}}
		}
		return []Message{{Role: RoleUser, Content: p.Prompt}, {Role: RoleAssistant, Content: answer}}
	}
	return side(p.ChosenTurns, p.Chosen), side(p.RejectedTurns, p.Rejected)
}
