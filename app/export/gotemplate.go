package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"steer/rl/data"
)

// Chat renders a conversation up to where the model's answer begins, as text: what a chat template
// does. An error means that the template does not take the conversation.
type Chat func(messages []data.Message) (string, error)

// The places of a conversation that have no message; the others are its roles.
const (
	start = "start"
	end   = "end"
)

// transitions holds the text that a template writes between a message and the next one, by their
// roles. Nearly every chat template is made of nothing else.
type transitions map[[2]string]string

// probes are conversations whose renderings tell all transitions. The first that tells one counts;
// what depends on more than two neighbouring roles shows when the result is compared (see compare).
var probes = [][]string{
	{data.RoleUser},
	{data.RoleUser, data.RoleAssistant, data.RoleUser},
	{data.RoleSystem, data.RoleUser},
	{data.RoleSystem, data.RoleUser, data.RoleAssistant, data.RoleUser},
	{data.RoleAssistant, data.RoleUser},
	{data.RoleSystem, data.RoleAssistant, data.RoleUser},
	{data.RoleUser, data.RoleAssistant, data.RoleSystem, data.RoleUser},
	{data.RoleUser, data.RoleSystem, data.RoleUser},
	{data.RoleUser, data.RoleSystem, data.RoleAssistant, data.RoleUser},
}

// observe renders the probes and reads the transitions off.
func observe(chat Chat) transitions {
	seen := transitions{}
	for _, roles := range probes {
		messages := make([]data.Message, len(roles))
		for i, role := range roles {
			messages[i] = data.Message{Role: role, Content: fmt.Sprintf("qx%dxq", i)}
		}
		text, err := chat(messages)
		if err != nil {
			continue
		}
		found, ok := between(text, messages)
		if !ok {
			continue
		}
		at := append(append([]string{start}, roles...), end)
		for i, between := range found {
			key := [2]string{at[i], at[i+1]}
			if _, known := seen[key]; !known {
				seen[key] = between
			}
		}
	}
	return seen
}

// between cuts a rendering at its messages, which have to stand in it in order, each once.
func between(text string, messages []data.Message) (pieces []string, ok bool) {
	for _, m := range messages {
		before, after, found := strings.Cut(text, m.Content)
		if !found {
			return nil, false
		}
		pieces, text = append(pieces, before), after
	}
	for _, m := range messages {
		if strings.Contains(text, m.Content) {
			return nil, false
		}
	}
	return append(pieces, text), true
}

// GoTemplate writes what chat does as a template of Ollama's: Go's text/template over .Messages. It
// is put together from what chat renders, not from its source, and has to be compared with it.
//
// Where the answer follows the prompt after a blank, which is then the answer's own, an answer that is
// given back begins with that blank already: the template does not write a second one.
func GoTemplate(chat Chat) (string, error) {
	seen := observe(chat)
	for _, must := range [][2]string{{start, data.RoleUser}, {data.RoleUser, end}} {
		if _, ok := seen[must]; !ok {
			return "", fmt.Errorf("the chat template does not take a single question: it cannot be written as " +
				"a template of Ollama's")
		}
	}
	late := seen.observeLate(chat)
	var b strings.Builder
	b.WriteString(`{{ $prev := "start" }}{{ range $i, $_ := .Messages }}`)
	for i, role := range []string{data.RoleSystem, data.RoleUser, data.RoleAssistant} {
		if i > 0 {
			b.WriteString("{{ else ")
		} else {
			b.WriteString("{{ ")
		}
		turn := seen.turn(role)
		switch {
		case late && role == data.RoleSystem:
			turn = ""
		case late && role == data.RoleUser:
			turn = seen.lateSystem(turn)
		}
		fmt.Fprintf(&b, "if eq .Role %q }}%s", role, turn)
	}
	b.WriteString("{{ end }}{{ end }}")
	b.WriteString(seen.end())
	return b.String(), nil
}

// observeLate tells whether the template says the system message before the last question, whatever
// comes before that, as some of Mistral's do, and reads off what it writes around it there.
func (t transitions) observeLate(chat Chat) bool {
	messages := say(data.RoleSystem, "qx0xq", data.RoleUser, "qx1xq", data.RoleAssistant, "qx2xq", data.RoleUser,
		"qx3xq")
	text, err := chat(messages)
	if err != nil {
		return false
	}
	pieces, ok := between(text, []data.Message{messages[1], messages[2], messages[0], messages[3]})
	if ok {
		t[[2]string{data.RoleAssistant, data.RoleSystem}] = pieces[2]
		t[[2]string{data.RoleSystem, data.RoleUser}] = pieces[3]
	}
	return ok
}

// lateSystem writes a question that the system message stands before if it is the last.
func (t transitions) lateSystem(turn string) string {
	var b strings.Builder
	b.WriteString("{{ if and $.System (eq (len (slice $.Messages $i)) 1) }}")
	for i, r := range []string{start, data.RoleAssistant} {
		fmt.Fprintf(&b, "{{ %sif eq $prev %q }}%s", map[bool]string{false: "", true: "else "}[i > 0], r,
			literal(t[[2]string{r, data.RoleSystem}]))
	}
	fmt.Fprintf(&b, "{{ end }}{{ $.System }}%s{{ .Content }}{{ $prev = .Role }}{{ else }}%s{{ end }}",
		literal(t[[2]string{data.RoleSystem, data.RoleUser}]), turn)
	return b.String()
}

// before lists the roles that can stand before another in what Ollama renders: it joins messages of
// one role.
func before(role string) []string {
	all := []string{start, data.RoleSystem, data.RoleUser, data.RoleAssistant}
	return slices.DeleteFunc(all, func(r string) bool { return r == role })
}

// turn writes a message of a role, with what stands before it. Behind a role that the template does
// not take it after, it is left out.
func (t transitions) turn(role string) string {
	content := "{{ .Content }}"
	if prompt := t[[2]string{data.RoleUser, end}]; role == data.RoleAssistant &&
		t[[2]string{data.RoleUser, role}] == prompt+" " {
		content = `{{ if .Content }}{{ if eq (slice .Content 0 1) " " }}{{ slice .Content 1 }}` +
			`{{ else }}{{ .Content }}{{ end }}{{ end }}`
	}
	content += "{{ $prev = .Role }}"
	var known []string
	for _, r := range before(role) {
		if _, ok := t[[2]string{r, role}]; ok {
			known = append(known, r)
		}
	}
	whole := len(known) == len(before(role))
	tail := ""
	if whole {
		tail = t.commonTail(role, known)
	}
	var b strings.Builder
	for i, group := range t.groups(role, known) {
		text := strings.TrimSuffix(t[[2]string{group[0], role}], tail)
		switch {
		case whole && len(group) == len(known):
			return literal(text+tail) + content
		case i == 0:
			fmt.Fprintf(&b, "{{ if %s }}", isOneOf(group))
		default:
			fmt.Fprintf(&b, "{{ else if %s }}", isOneOf(group))
		}
		b.WriteString(literal(text))
		if !whole {
			b.WriteString(content)
		}
	}
	if len(known) > 0 {
		b.WriteString("{{ end }}")
	}
	if whole {
		b.WriteString(literal(tail) + content)
	}
	return b.String()
}

// end opens the answer. Behind an answer that is to go on nothing is written.
func (t transitions) end() string {
	opening := literal(t[[2]string{data.RoleUser, end}])
	return fmt.Sprintf(`{{ if ne $prev %q }}%s{{ end }}`, data.RoleAssistant, opening)
}

// groups puts those roles together behind which the same text stands.
func (t transitions) groups(role string, known []string) (groups [][]string) {
	for _, r := range known {
		i := slices.IndexFunc(groups, func(g []string) bool {
			return t[[2]string{g[0], role}] == t[[2]string{r, role}]
		})
		if i < 0 {
			groups = append(groups, []string{r})
			continue
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

// commonTail is what the texts before a role end with alike.
func (t transitions) commonTail(role string, known []string) string {
	tail := t[[2]string{known[0], role}]
	for _, r := range known[1:] {
		text := t[[2]string{r, role}]
		for !strings.HasSuffix(text, tail) {
			_, size := firstRune(tail)
			tail = tail[size:]
		}
	}
	return tail
}

func firstRune(s string) (r rune, size int) {
	for i, c := range s {
		if i > 0 {
			return r, i
		}
		r = c
	}
	return r, len(s)
}

// isOneOf is the condition that the message before was of one of these roles.
func isOneOf(roles []string) string {
	quoted := make([]string, len(roles))
	for i, r := range roles {
		quoted[i] = strconv.Quote(r)
	}
	return "eq $prev " + strings.Join(quoted, " ")
}

// literal writes text that comes out of the template as it is. What a template or a Modelfile would
// read otherwise stands in quotes.
func literal(text string) string {
	plain := !strings.Contains(text, "{{") && !strings.Contains(text, `"""`)
	for _, r := range text {
		plain = plain && (strconv.IsPrint(r) || r == '\n' || r == '\t')
	}
	if plain {
		return text
	}
	return "{{ " + strconv.Quote(text) + " }}"
}
