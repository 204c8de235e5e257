package data

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// builtIn are the templates that need no model.
var builtIn = slices.DeleteFunc(TemplateName("").Values(),
	func(name string) bool { return name == string(TemplateModel) })

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var dialogue = []Message{{Role: RoleUser, Content: "Hi there"}, {Role: RoleAssistant, Content: "Hello"},
	{Role: RoleUser, Content: "Bye"}, {Role: RoleAssistant, Content: "\n\nSee you <|im_end|>"}}

func TestTemplates(t *testing.T) {
	empty, polite := "", "Be kind."
	for _, tc := range []struct {
		name   TemplateName
		system *string
		want   string
	}{
		{TemplateGuanaco, nil,
			"### Human: Hi there### Assistant: Hello### Human: Bye### Assistant: \n\nSee you <|im_end|>"},
		{TemplateGuanaco, &polite,
			"### Human: Be kind.\n\nHi there### Assistant: Hello### Human: Bye### Assistant: \n\nSee you <|im_end|>"},
		{TemplateHH, nil, "\n\nHuman: Hi there\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant: \n\nSee you <|im_end|>"},
		{TemplatePlain, nil, "Hi thereHelloBye\n\nSee you <|im_end|>"},
		{TemplateLlama2, nil, "<s>[INST] Hi there [/INST] Hello </s><s>[INST] Bye [/INST] \n\nSee you <|im_end|> </s>"},
		{TemplateLlama2, &polite, "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi there [/INST] Hello </s><s>[INST] " +
			"Bye [/INST] \n\nSee you <|im_end|> </s>"},
		{TemplateChatML, &empty, "<|im_start|>user\nHi " +
			"there<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n" +
			"<|im_start|>assistant\n\n\nSee you <|im_end|><|im_end|>\n"},
		{TemplateChatML, nil,
			"<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n" +
				"<|im_start|>user\nHi " +
				"there<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n" +
				"<|im_start|>assistant\n\n\nSee you <|im_end|><|im_end|>\n"},
	} {
		tpl, err := NewTemplate(tc.name, tc.system)
		require.NoError(t, err)
		require.Equal(t, tc.want, Text(must(tpl.Render(dialogue)), "<s>", "</s>"), tc.name)
	}
	tpl, err := NewTemplate(TemplateGuanaco, nil)
	require.NoError(t, err)
	require.Equal(t, "### Human: Hi there### Assistant:", Text(must(tpl.Prompt(dialogue[:1])), "", ""))
	_, err = NewTemplate("alpaca", nil)
	require.ErrorContains(t, err, "guanaco")
}

// What each template makes of conversations that do not go user, assistant, user ...: a
// system text never vanishes, and is never moved behind an answer.
func TestTemplatesOnOddConversations(t *testing.T) {
	system, user, answer := Message{Role: RoleSystem, Content: "S"}, Message{Role: RoleUser, Content: "u"},
		Message{Role: RoleAssistant, Content: "a"}
	empty := Message{Role: RoleAssistant}
	for _, tc := range []struct {
		name                               string
		messages                           []Message
		guanaco, hh, llama2, chatml, plain string
	}{
		{"begins with the assistant", []Message{answer, user, answer},
			"### Assistant: a### Human: u### Assistant: a", "\n\nAssistant: a\n\nHuman: u\n\nAssistant: a",
			"<s> a </s><s>[INST] u [/INST] a </s>",
			"<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n",
			"aua"},
		{"system, then the assistant", []Message{system, answer},
			"### Human: S### Assistant: a", "\n\nHuman: S\n\nAssistant: a",
			"<s>[INST] <<SYS>>\nS\n<</SYS>>\n\n [/INST] a </s>",
			"<|im_start|>system\nS<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n", "Sa"},
		{"system, assistant, user", []Message{system, answer, user},
			"### Human: S### Assistant: a### Human: u", "\n\nHuman: S\n\nAssistant: a\n\nHuman: u",
			"<s>[INST] <<SYS>>\nS\n<</SYS>>\n\n [/INST] a </s><s>[INST] u [/INST]",
			"<|im_start|>system\nS<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n<|im_start|>user\nu<|im_end|>\n",
			"Sau"},
		{"system alone", []Message{system},
			"### Human: S", "\n\nHuman: S", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\n [/INST]",
			"<|im_start|>system\nS<|im_end|>\n", "S"},
		{"two users, two answers", []Message{system, user, user, answer, answer},
			"### Human: S\n\nu### Human: u### Assistant: a### Assistant: a",
			"\n\nHuman: S\n\nu\n\nHuman: u\n\nAssistant: a\n\nAssistant: a",
			"<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nu [/INST]<s>[INST] u [/INST] a </s> a </s>",
			"<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>user\nu<|im_end|>\n" +
				"<|im_start|>assistant\na<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n", "Suuaa"},
		{"empty answer", []Message{user, empty},
			"### Human: u### Assistant: ", "\n\nHuman: u\n\nAssistant: ", "<s>[INST] u [/INST]  </s>",
			"<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n", "u"},
	} {
		none := ""
		for name, want := range map[TemplateName]string{TemplateGuanaco: tc.guanaco, TemplateHH: tc.hh,
			TemplateLlama2: tc.llama2, TemplateChatML: tc.chatml, TemplatePlain: tc.plain} {
			tpl, err := NewTemplate(name, &none)
			require.NoError(t, err)
			require.Equal(t, want, Text(must(tpl.Render(tc.messages)), "<s>", "</s>"), "%s: %s", name, tc.name)
			// a prompt is a prefix here too
			if last := len(tc.messages) - 1; tc.messages[last].Role == RoleAssistant && last > 0 {
				require.True(t, strings.HasPrefix(want, Text(must(tpl.Prompt(tc.messages[:last])), "<s>", "</s>")),
					"%s: %s",
					name, tc.name)
			}
		}
	}
	// A system text of the configuration does not vanish either.
	polite := "Be kind."
	for _, name := range builtIn {
		tpl, err := NewTemplate(TemplateName(name), &polite)
		require.NoError(t, err)
		require.Contains(t, Text(must(tpl.Render([]Message{answer})), "", ""), polite, name)
	}
	for _, c := range []struct {
		messages []Message
		asked    int
	}{{[]Message{system, answer}, 0}, {[]Message{answer, user, answer}, 0}, {[]Message{system}, 0}, {nil, 0},
		{[]Message{system, user, answer}, 2}, {[]Message{user, user}, 2}} {
		require.Len(t, Conversation{Messages: c.messages}.FirstPrompt(), c.asked)
	}
}

// A message that is not to count is read by the model, but adds nothing to the loss, with
// loss on all tokens too.
func TestMaskedMessages(t *testing.T) {
	messages := []Message{{Role: RoleUser, Content: "Hi"}, {Role: RoleAssistant, Content: "Bad answer", Masked: true},
		{Role: RoleUser, Content: "Again"}, {Role: RoleAssistant, Content: "Yes"}}
	for _, name := range builtIn {
		tok := newWordTokenizer(false, false)
		tpl, err := NewTemplate(TemplateName(name), nil)
		require.NoError(t, err)
		plain := slices.Clone(messages)
		plain[1].Masked = false
		for _, loss := range []LossOn{LossAnswers, LossAll} {
			e, err := Tokenize(tok, must(tpl.Render(messages)), TokenizeOptions{Loss: loss})
			require.NoError(t, err)
			same, err := Tokenize(tok, must(tpl.Render(plain)), TokenizeOptions{Loss: loss})
			require.NoError(t, err)
			require.Equal(t, same.IDs, e.IDs)
			var counted, before []int32
			for i, counts := range e.Mask {
				if counts {
					counted = append(counted, e.IDs[i])
				}
				if same.Mask[i] {
					before = append(before, e.IDs[i])
				}
			}
			require.NotContains(t, tok.Decode(counted, false), "Bad", "%s %s", name, loss)
			require.Contains(t, tok.Decode(before, false), "Bad", "%s %s", name, loss)
			require.Contains(t, tok.Decode(counted, false), "Yes", "%s %s", name, loss)
		}
		_, err = Tokenize(tok, must(tpl.Render(messages)), TokenizeOptions{Loss: LossAll, Join: true})
		require.ErrorContains(t, err, "set join_text: false")
	}
}

// The tokens of a prompt are the beginning of the tokens of prompt and answer,
// and decoding gives the rendered text back.
func TestPromptIsPrefix(t *testing.T) {
	for _, name := range builtIn {
		for _, spm := range []bool{false, true} {
			for _, bos := range []bool{false, true} {
				tok := newWordTokenizer(spm, bos)
				tpl, err := NewTemplate(TemplateName(name), nil)
				require.NoError(t, err)
				whole, err := Tokenize(tok, must(tpl.Render(dialogue)), TokenizeOptions{})
				require.NoError(t, err)
				for _, turns := range []int{1, 3} {
					prompt, err := Tokenize(tok, must(tpl.Prompt(dialogue[:turns])), TokenizeOptions{})
					require.NoError(t, err)
					require.Equal(t, prompt.IDs, whole.IDs[:len(prompt.IDs)], "%s spm=%v", name, spm)
				}
				rendered := Text(must(tpl.Render(dialogue)), "", "")
				if spm && name != "llama2" {
					rendered = " " + rendered
				}
				if !spm || name != "llama2" {
					require.Equal(t, rendered, tok.Decode(whole.IDs, false), "%s spm=%v", name, spm)
				}
				var answers []int32
				for i, counts := range whole.Mask {
					if counts {
						answers = append(answers, whole.IDs[i])
					}
				}
				said := map[string]string{
					"guanaco": " Hello \n\nSee you <|im_end|>", "hh": " Hello \n\nSee you <|im_end|>",
					"plain":  "Hello\n\nSee you <|im_end|>",
					"chatml": "Hello<|im_end|>\n\nSee you <|im_end|><|im_end|>",
					"llama2": " Hello  \n\nSee you <|im_end|> ",
				}[name]
				require.Equal(t, said, tok.Decode(answers, false), "%s spm=%v", name, spm)
			}
		}
	}
}

// Special tokens spelled in a user's text stay text.
func TestNoSpecialTokensFromText(t *testing.T) {
	tok := newWordTokenizer(false, false)
	tpl, err := NewTemplate(TemplateChatML, nil)
	require.NoError(t, err)
	e, err := Tokenize(tok, must(tpl.Render([]Message{{Role: RoleUser, Content: "x<|im_end|>y"}})), TokenizeOptions{})
	require.NoError(t, err)
	special := 0
	for _, id := range e.IDs {
		if tok.names[id] == "<|im_end|>" {
			special++
		}
	}
	require.Equal(t, 2, special) // those of the system and the user turn
}

func TestTokenizeOptions(t *testing.T) {
	tok := newWordTokenizer(true, true)
	tpl, err := NewTemplate(TemplateGuanaco, nil)
	require.NoError(t, err)
	segments := must(tpl.Render(dialogue[:2]))

	e, err := Tokenize(tok, segments, TokenizeOptions{EOS: true})
	require.NoError(t, err)
	require.EqualValues(t, fakeBOS, e.IDs[0])
	require.EqualValues(t, fakeEOS, e.IDs[len(e.IDs)-1])
	require.True(t, e.Mask[len(e.Mask)-1])
	require.False(t, e.Mask[0])
	require.Equal(t, []int32{int32(len(e.IDs) - 2), int32(len(e.IDs) - 1)}, e.Targets())

	all, err := Tokenize(tok, segments, TokenizeOptions{NoBOS: true, Loss: LossAll})
	require.NoError(t, err)
	require.Equal(t, e.IDs[1:len(e.IDs)-1], all.IDs)
	require.Len(t, all.Targets(), len(all.IDs)-1)

	joined, err := Tokenize(tok, segments, TokenizeOptions{Loss: LossAll, Join: true})
	require.NoError(t, err)
	direct, err := tok.Encode("### Human: Hi there### Assistant: Hello", true, false)
	require.NoError(t, err)
	require.Equal(t, direct, joined.IDs)
	_, err = Tokenize(tok, segments, TokenizeOptions{Join: true})
	require.ErrorContains(t, err, "loss on all tokens")
}
