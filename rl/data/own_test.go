package data

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/internal/strictjson"
	"steer/internal/testfiles"
)

// chatGolden is testdata/golden/chat/chat.json.gz as far as it is needed here.
type chatGolden struct {
	Now           string
	Conversations map[string][]struct{ Role, Content, Reasoning_content string }
	Templates     []struct {
		Name, File string
		Tokens     map[string]string `json:"special_tokens"`
		Cases      []struct {
			Conversation string
			AddPrompt    bool           `json:"add_generation_prompt"`
			Continue     bool           `json:"continue_final_message"`
			Kwargs       map[string]any `json:"kwargs"`
			Output       string
			Error        *struct{ Kind, Message string }
		}
	}
}

// markPattern are the special tokens of the templates of the goldens.
var goldenMarks = []string{"<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>",
	"<|start_header_id|>", "<|end_header_id|>",
	"<|eot_id|>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "<bos>", "<eos>",
	"<start_of_turn>",
	"<end_of_turn>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<|start_of_role|>", "<|end_of_role|>",
	"<|end_of_text|>",
	"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<|startoftext|>", "<think>",
	"</think>"}

func readChatGolden(t *testing.T) (g chatGolden, now time.Time) {
	testfiles.ReadGolden(t, "chat/chat.json.gz", &g)
	now, err := time.Parse("2006-01-02T15:04:05", g.Now)
	require.NoError(t, err)
	return g, now
}

func (g *chatGolden) messages(name string) (out []Message) {
	for _, m := range g.Conversations[name] {
		out = append(out, Message{Role: m.Role, Content: m.Content})
	}
	return out
}

func goldenChat(t *testing.T, file string, names map[string]string) lm.Chat {
	source, err := os.ReadFile(filepath.Join(testfiles.Golden(t, "chat"), file))
	require.NoError(t, err)
	chat := lm.Chat{Template: string(source), Names: names, Marks: goldenMarks}
	if eos := names["eos_token"]; eos != "" {
		chat.Ends = []string{eos}
	}
	return chat
}

// spelled joins the texts of segments.
func spelled(segments []Segment) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString(s.Text)
	}
	return b.String()
}

// Whatever is rendered, its segments end to end are what transformers renders, and what is read as
// special tokens is the template's: as many of them as if the messages had spelled none.
func TestSegmentsAreTheRenderingOfTransformers(t *testing.T) {
	g, now := readChatGolden(t)
	cases := 0
	for _, tpl := range g.Templates {
		for _, c := range tpl.Cases {
			if c.Continue || c.Conversation == "reasoning_content" {
				continue // rendered by internal/jinja's own test
			}
			cases++
			o, err := newOwn(goldenChat(t, tpl.File, tpl.Tokens), now, c.Kwargs)
			require.NoError(t, err)
			own := &Template{name: TemplateModel, own: o}
			render := own.Render
			if c.AddPrompt {
				render = own.Prompt
			}
			segments, err := render(g.messages(c.Conversation))
			if c.Error != nil {
				var refusal *Refusal
				require.ErrorAs(t, err, &refusal)
				require.True(t, refusal.Raised)
				require.ErrorContains(t, err, c.Error.Message)
				continue
			}
			require.NoError(t, err, "%s %s", tpl.Name, c.Conversation)
			require.Equal(t, c.Output, spelled(segments), "%s %s", tpl.Name, c.Conversation)
			special := 0
			for i, s := range segments {
				if s.Special {
					require.Contains(t, goldenMarks, s.Text)
					special++
				}
				if i > 0 && !s.Special && !segments[i-1].Special {
					require.NotEqual(t, segments[i-1].Answer, s.Answer, "text is cut at answers only")
				}
			}
			if c.Conversation == "special_tokens" {
				tame := g.messages(c.Conversation)
				for i := range tame {
					tame[i].Content = "x"
				}
				segments, err = render(tame)
				require.NoError(t, err)
				for _, s := range segments {
					if s.Special {
						special--
					}
				}
				require.Zero(t, special, "%s: special tokens from text", tpl.Name)
			}
		}
	}
	require.Greater(t, cases, 1400)
}

// answersOf gives the texts that are learned from.
func answersOf(segments []Segment) (out []string) {
	for i, s := range segments {
		switch {
		case !s.Answer:
		case i > 0 && segments[i-1].Answer:
			out[len(out)-1] += s.Text
		default:
			out = append(out, s.Text)
		}
	}
	return out
}

// What each template's answers are: what the model has to write after the prompt, up to the mark that
// ends its turn. And whether a conversation is learned from as a whole.
func TestAnswersOfOfficialTemplates(t *testing.T) {
	g, now := readChatGolden(t)
	want := map[string][]string{
		"llama-3.1-8b-instruct": {"Hello! How can I help?<|eot_id|>", "1, 2, 3<|eot_id|>"},
		"llama-3.2-3b-instruct": {"Hello! How can I help?<|eot_id|>", "1, 2, 3<|eot_id|>"},
		"llama-3-8b-instruct":   {"Hello! How can I help?<|eot_id|>", "1, 2, 3<|eot_id|>"},
		"llama-2-chat":          {" Hello! How can I help? </s>", " 1, 2, 3 </s>"},
		"qwen2.5-7b-instruct":   {"Hello! How can I help?<|im_end|>", "1, 2, 3<|im_end|>"},
		"qwen3-0.6b": {"apart", "<think>\n\n</think>\n\nHello! How can I help?<|im_end|>",
			"<think>\n\n</think>\n\n1, 2, 3<|im_end|>"},
		"mistral-nemo-2407":            {"Hello! How can I help?</s>", "1, 2, 3</s>"},
		"mistral-small-3.2":            {"Hello! How can I help?</s>", "1, 2, 3</s>"},
		"mistral-7b-v0.2-old":          {"Hello! How can I help?</s>", "1, 2, 3</s>"},
		"gemma-2-2b-it":                {"Hello! How can I help?<end_of_turn>", "1, 2, 3<end_of_turn>"},
		"gemma-3-it":                   {"Hello! How can I help?<end_of_turn>", "1, 2, 3<end_of_turn>"},
		"phi-3.5-mini":                 {"Hello! How can I help?<|end|>", "1, 2, 3<|end|>"},
		"smollm3-3b":                   {"Hello! How can I help?<|im_end|>", "1, 2, 3<|im_end|>"},
		"smollm2-135m-instruct":        {"Hello! How can I help?<|im_end|>", "1, 2, 3<|im_end|>"},
		"granite-3.3-2b":               {"Hello! How can I help?<|end_of_text|>", "1, 2, 3<|end_of_text|>"},
		"granite-4.1":                  {"Hello! How can I help?<|end_of_text|>", "1, 2, 3<|end_of_text|>"},
		"deepseek-r1-distill-llama-8b": {"Hello! How can I help?<｜end▁of▁sentence｜>", "1, 2, 3<｜end▁of▁sentence｜>"},
		"zephyr-7b-beta":               {"Hello! How can I help?</s>", "1, 2, 3</s>"},
		"openhermes-chatml":            {"Hello! How can I help?<|im_end|>", "1, 2, 3<|im_end|>"},
		"lfm2.5-instruct":              {"Hello! How can I help?<|im_end|>", "1, 2, 3<|im_end|>"},
		"qwen3-training(generation)": {"<think>\n\n</think>\n\nHello! How can I help?<|im_end|>\n",
			"<think>\n\n</think>\n\n1, 2, 3<|im_end|>\n"},
		"gemma3-training(generation)": {"Hello! How can I help?<end_of_turn>\n", "1, 2, 3<end_of_turn>\n"},
	}
	for _, tpl := range g.Templates {
		own, err := NewOwnTemplate(goldenChat(t, tpl.File, tpl.Tokens), nil, now)
		require.NoError(t, err)
		turns, err := own.Turns(g.messages("two_turns"))
		require.NoError(t, err)
		var got []string
		if len(turns) > 1 {
			got = []string{"apart"}
		}
		for _, segments := range turns {
			got = append(got, answersOf(segments)...)
		}
		require.Equal(t, want[tpl.Name], got, tpl.Name)
	}
}

// The answers of templates with {% generation %} are the ranges of transformers, and their tokens
// those of its assistant_masks.
func TestGenerationBlocksAreThoseOfTransformers(t *testing.T) {
	g, now := readChatGolden(t)
	var golden struct {
		Items []struct {
			Name    string
			Special []string `json:"added_special_tokens"`
			Items   []struct {
				Conversation, Output string
				Ranges               [][2]int `json:"generation_ranges"`
				IDs                  []int32
				Offsets              [][2]int
				Masks                []int `json:"assistant_masks"`
			}
		}
	}
	testfiles.ReadGolden(t, "chat/generation.json.gz", &golden)
	compared := 0
	for _, tpl := range golden.Items {
		i := slices.IndexFunc(g.Templates, func(x struct {
			Name, File string
			Tokens     map[string]string `json:"special_tokens"`
			Cases      []struct {
				Conversation string
				AddPrompt    bool           `json:"add_generation_prompt"`
				Continue     bool           `json:"continue_final_message"`
				Kwargs       map[string]any `json:"kwargs"`
				Output       string
				Error        *struct{ Kind, Message string }
			}
		}) bool {
			return x.Name == tpl.Name
		})
		chat := goldenChat(t, g.Templates[i].File, g.Templates[i].Tokens)
		chat.Marks = tpl.Special
		own, err := NewOwnTemplate(chat, nil, now)
		require.NoError(t, err)
		tok := readBPE(t, tpl.Special)
		for _, c := range tpl.Items {
			if c.Conversation == "reasoning_content" {
				continue // a field that messages do not have here
			}
			segments, err := own.Render(g.messages(c.Conversation))
			if c.Output == "" {
				require.Error(t, err)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, c.Output, spelled(segments))
			var ranges [][2]int
			at := 0
			for k, s := range segments {
				end := at + utf8.RuneCountInString(s.Text)
				switch {
				case !s.Answer:
				case k > 0 && segments[k-1].Answer:
					ranges[len(ranges)-1][1] = end
				default:
					ranges = append(ranges, [2]int{at, end})
				}
				at = end
			}
			require.Equal(t, c.Ranges, ranges, "%s %s", tpl.Name, c.Conversation)
			if c.Conversation == "special_tokens" {
				continue // there, text of the data becomes special tokens
			}
			e, err := Tokenize(tok, segments, TokenizeOptions{})
			require.NoError(t, err)
			require.Equal(t, c.IDs, e.IDs, "%s %s", tpl.Name, c.Conversation)
			for k, counts := range e.Mask {
				require.Equal(t, c.Masks[k] == 1, counts, "%s %s: token %d", tpl.Name, c.Conversation, k)
			}
			compared++
		}
	}
	require.Greater(t, compared, 30)
}

func ownOf(t *testing.T, g *chatGolden, name string, now time.Time, system *string) *Template {
	for _, tpl := range g.Templates {
		if tpl.Name == name {
			own, err := NewOwnTemplate(goldenChat(t, tpl.File, tpl.Tokens), system, now)
			require.NoError(t, err)
			return own
		}
	}
	t.Fatal(name)
	return nil
}

// A template that takes thinking out of earlier turns is learned from one answer at a time, each as
// the conversation stood then.
func TestUnsteadyTemplates(t *testing.T) {
	g, now := readChatGolden(t)
	thought := append(g.messages("think_history"), Message{Role: RoleAssistant,
		Content: "<think>\nFour.\n</think>\n\n8"})
	for _, name := range []string{"qwen3-0.6b", "lfm2.5-instruct"} {
		own := ownOf(t, &g, name, now, nil)
		turns, err := own.Turns(thought)
		require.NoError(t, err)
		require.Len(t, turns, 3, name)
		for i, segments := range turns {
			require.Len(t, answersOf(segments), 1, name)
			answer := answersOf(segments)[0]
			require.True(t, strings.HasSuffix(answer, []string{"4", "6", "8"}[i]+own.StopToken()), "%s: %q", name,
				answer)
			alone, err := own.Render(thought[:2*i+2])
			require.NoError(t, err)
			require.Equal(t, spelled(alone), spelled(segments))
		}
		masked := slices.Clone(thought)
		masked[1].Masked = true
		turns, err = own.Turns(masked)
		require.NoError(t, err)
		require.Len(t, turns, 2, name)
	}
	turns, err := ownOf(t, &g, "qwen3-training(generation)", now, nil).Turns(thought)
	require.NoError(t, err)
	require.Len(t, turns, 1, "made for training: as a whole")
	turns, err = ownOf(t, &g, "deepseek-r1-distill-llama-8b", now, nil).Turns(thought)
	require.NoError(t, err)
	require.Len(t, turns, 1, "it drops the thinking of every turn, the last too")
	require.Equal(t, []string{"\n\n4<｜end▁of▁sentence｜>", "\n\n6<｜end▁of▁sentence｜>", "\n\n8<｜end▁of▁sentence｜>"},
		answersOf(turns[0]))
}

func TestOdditiesOfTemplates(t *testing.T) {
	g, now := readChatGolden(t)
	for _, tpl := range g.Templates {
		own, err := NewOwnTemplate(goldenChat(t, tpl.File, tpl.Tokens), nil, now)
		require.NoError(t, err)
		switch odd := own.Oddities(); tpl.Name {
		case "deepseek-r1-distill-llama-8b":
			require.Len(t, odd, 1)
			require.Contains(t, odd[0], `opens an answer with "<think>\n"`)
		case "mistral-nemo-2407":
			require.Len(t, odd, 1)
			require.Contains(t, odd[0], "leaves it out of a conversation that has its answer")
		default:
			require.Empty(t, odd, tpl.Name)
		}
	}
}

// The template of SmolLM2's own file and the chatml of this package are one: the same tokens, of
// which the same count.
func TestSmolLM2sOwnTemplateIsChatML(t *testing.T) {
	g, now := readChatGolden(t)
	own := ownOf(t, &g, "smollm2-135m-instruct", now, nil)
	require.Equal(t, "<|im_end|>", own.StopToken())
	require.True(t, own.Date().IsZero())
	chatml, err := NewTemplate(TemplateChatML, nil)
	require.NoError(t, err)
	for name := range g.Conversations {
		messages := g.messages(name)
		switch name {
		case "blanks", "only_blanks": // chatml divides a text from the line end before it
			continue
		case "empty_system": // chatml leaves an empty system message out, the model's template writes it
			continue
		}
		for i := range messages {
			messages[i].Masked = i == 1 && name == "system_three_turns_open"
		}
		for _, loss := range []LossOn{LossAnswers, LossAll} {
			tok := newWordTokenizer(false, false)
			want, err := Tokenize(tok, must(chatml.Render(messages)), TokenizeOptions{Loss: loss})
			require.NoError(t, err)
			turns, err := own.Turns(messages)
			require.NoError(t, err)
			require.Len(t, turns, 1, name)
			got, err := Tokenize(tok, turns[0], TokenizeOptions{Loss: loss})
			require.NoError(t, err)
			require.Equal(t, want, got, "%s %s", name, loss)
		}
		tok := newWordTokenizer(false, false)
		want, err := Tokenize(tok, must(chatml.Prompt(messages)), TokenizeOptions{})
		require.NoError(t, err)
		got, err := Tokenize(tok, must(own.Prompt(messages)), TokenizeOptions{})
		require.NoError(t, err)
		require.Equal(t, want.IDs, got.IDs, name)
	}
}

func TestOwnTemplateErrors(t *testing.T) {
	_, err := NewTemplate(TemplateModel, nil)
	require.ErrorContains(t, err, "no model is at hand")
	_, err = OpenTemplate(newWordTokenizer(false, false), TemplateModel, nil, "", nil)
	require.ErrorIs(t, err, ErrNoTemplate)
	_, err = NewOwnTemplate(lm.Chat{Template: "a\n{{ x|nope }}"}, nil, time.Time{})
	require.ErrorContains(t, err, "template line 2, column 6: filter nope: not known")

	g, _ := readChatGolden(t)
	dated := ownOf(t, &g, "mistral-small-3.2", time.Time{}, nil)
	_, err = dated.Render(g.messages("single"))
	require.ErrorContains(t, err, "set date")
	// Llama 3.2 writes a date of its own where there is no clock.
	segments, err := ownOf(t, &g, "llama-3.2-3b-instruct", time.Time{}, nil).Render(g.messages("single"))
	require.NoError(t, err)
	require.Contains(t, spelled(segments), "26 Jul 2024")
	dated = ownOf(t, &g, "llama-3.2-3b-instruct", time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), nil)
	require.Contains(t, spelled(must(dated.Prompt(g.messages("single")))), "02 Jan 2026")
	require.Equal(t, 2026, dated.Date().Year())

	polite := "Be kind."
	own := ownOf(t, &g, "smollm2-135m-instruct", time.Time{}, &polite)
	require.Contains(t, spelled(must(own.Render(g.messages("single")))), "system\nBe kind.<|im_end|>")
	require.NotContains(t, spelled(must(own.Render(g.messages("system_user")))), "Be kind.")
	_, err = ownOf(t, &g, "gemma-2-2b-it", time.Time{}, &polite).Render(g.messages("single"))
	require.ErrorContains(t, err, "the model's chat template refuses the conversation: System role not supported")
}

// Any template file is rendered as transformers renders it, fields of all kinds and continued final
// messages too.
func TestFileTemplatesRenderAsTransformers(t *testing.T) {
	g, now := readChatGolden(t)
	var raw struct{ Conversations map[string]strictjson.Raw }
	testfiles.ReadGolden(t, "chat/chat.json.gz", &raw)
	cases := 0
	for _, tpl := range g.Templates {
		for _, c := range tpl.Cases {
			cases++
			chat := goldenChat(t, tpl.File, tpl.Tokens)
			file, err := NewFileTemplate(chat.Template, chat, c.Kwargs, now)
			require.NoError(t, err)
			v, err := strictjson.Value(raw.Conversations[c.Conversation], nil)
			require.NoError(t, err)
			got, err := file.Render(v.([]any), c.AddPrompt, c.Continue)
			if c.Error != nil {
				require.Error(t, err)
				require.Equal(t, c.Error.Kind == "raise_exception", Refused(err))
				continue
			}
			require.NoError(t, err, "%s %s", tpl.Name, c.Conversation)
			require.Equal(t, c.Output, got, "%s %s", tpl.Name, c.Conversation)
		}
	}
	require.Equal(t, 2072, cases)
}

// A system message that a template takes and does not show is told of.
func TestSystemMessagesLeftOut(t *testing.T) {
	const loop = "{% for m in messages %}"
	const message = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
	const end = "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
	for template, want := range map[string]int{
		loop + message + end: 0,
		loop + "{% if m.role != 'system' %}" + message + "{% endif %}" + end:                       1,
		loop + "{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}" + message + end: 0,
	} {
		own, err := NewOwnTemplate(lm.Chat{Template: template, Marks: goldenMarks}, nil, time.Time{})
		require.NoError(t, err)
		require.Len(t, own.Oddities(), want, template)
	}
}
