package data

import (
	"fmt"
	"strings"
)

// maxNotes is how many kinds of odd cases are told one by one.
const maxNotes = 12

// notes counts odd cases that a reader met and kept.
type notes struct {
	kinds []string
	seen  map[string]*noted
}

type noted struct{ count, line int }

// add counts a case; what says of several, "rows with ...", what they are.
func (n *notes) add(line int, what string) {
	if n.seen == nil {
		n.seen = map[string]*noted{}
	}
	c := n.seen[what]
	if c == nil {
		c = &noted{line: line}
		n.seen[what] = c
		n.kinds = append(n.kinds, what)
	}
	c.count++
}

// unreadNote ends the notes of keys that are not read.
const unreadNote = ", which is not read"

// unread counts a key that means nothing to the reader.
func (n *notes) unread(line int, key string) {
	n.add(line, fmt.Sprintf("times the key %q%s", key, unreadNote))
}

// list tells them, in the order in which they were met.
func (n *notes) list() []string {
	var out []string
	for i, kind := range n.kinds {
		if i == maxNotes {
			return append(out, fmt.Sprintf("%d more kinds of notes", len(n.kinds)-i))
		}
		c := n.seen[kind]
		out = append(out, fmt.Sprintf("%d %s (first: line %d)", c.count, kind, c.line))
	}
	return out
}

// oddConversations counts what templates have to treat in a way of their own (docs/templates.md
// says in which) and what is not learned from.
func oddConversations(rows []Conversation) []string {
	var n notes
	for _, c := range rows {
		turns := c.Messages
		if len(turns) > 0 && turns[0].Role == RoleSystem {
			turns = turns[1:]
		}
		users, answers, empty, repeated := 0, 0, false, false
		for i, m := range turns {
			switch {
			case m.Role == RoleUser:
				users++
			case m.Role == RoleAssistant:
				answers++
				empty = empty || strings.TrimSpace(m.Content) == ""
			}
			repeated = repeated || i > 0 && turns[i-1].Role == m.Role
			if m.Masked {
				n.add(c.Line, "messages that do not count in the loss (weight, loss_mask, trainable or train says so)")
			}
		}
		if len(turns) > 0 && turns[0].Role == RoleAssistant {
			n.add(c.Line, "conversations that begin with the assistant")
		} else if users == 0 {
			n.add(c.Line, "conversations without a user message")
		}
		if answers == 0 {
			n.add(c.Line, "conversations without an answer")
		}
		if repeated {
			n.add(c.Line, "conversations with two turns of one speaker in a row")
		}
		if empty {
			n.add(c.Line, "conversations with an empty answer")
		}
	}
	return n.list()
}
