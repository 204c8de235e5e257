package data

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var dialogue = []Message{{Role: RoleUser, Content: "Hi there"}, {Role: RoleAssistant, Content: "Hello"}, {Role: RoleUser, Content: "Bye"}, {Role: RoleAssistant, Content: "\n\nSee you <|im_end|>"}}

func TestTemplates(t *testing.T) {
	empty, polite := "", "Be kind."
	for _, tc := range []struct {
		name   TemplateName
		system *string
		want   string
	}{
		{TemplateGuanaco, nil, "### Human: Hi there### Assistant: Hello### Human: Bye### Assistant: \n\nSee you <|im_end|>"},
		{TemplateGuanaco, &polite, "### Human: Be kind.\n\nHi there### Assistant: Hello### Human: Bye### Assistant: \n\nSee you <|im_end|>"},
		{TemplateHH, nil, "\n\nHuman: Hi there\n\nAssistant: Hello\n\nHuman: Bye\n\nAssistant: \n\nSee you <|im_end|>"},
		{TemplatePlain, nil, "Hi thereHelloBye\n\nSee you <|im_end|>"},
		{TemplateLlama2, nil, "<s>[INST] Hi there [/INST] Hello </s><s>[INST] Bye [/INST] \n\nSee you <|im_end|> </s>"},
		{TemplateLlama2, &polite, "<s>[INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHi there [/INST] Hello </s><s>[INST] Bye [/INST] \n\nSee you <|im_end|> </s>"},
		{TemplateChatML, &empty, "<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n\n\nSee you <|im_end|><|im_end|>\n"},
		{TemplateChatML, nil, "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n" +
			"<|im_start|>user\nHi there<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n\n\nSee you <|im_end|><|im_end|>\n"},
	} {
		tpl, err := NewTemplate(tc.name, tc.system)
		require.NoError(t, err)
		require.Equal(t, tc.want, Text(tpl.Render(dialogue), "<s>", "</s>"), tc.name)
	}
	tpl, err := NewTemplate(TemplateGuanaco, nil)
	require.NoError(t, err)
	require.Equal(t, "### Human: Hi there### Assistant:", Text(tpl.Prompt(dialogue[:1]), "", ""))
	_, err = NewTemplate("alpaca", nil)
	require.ErrorContains(t, err, "guanaco")
}

// The tokens of a prompt are the beginning of the tokens of prompt and answer,
// and decoding gives the rendered text back.
func TestPromptIsPrefix(t *testing.T) {
	for _, name := range TemplateName("").Values() {
		for _, spm := range []bool{false, true} {
			for _, bos := range []bool{false, true} {
				tok := newWordTokenizer(spm, bos)
				tpl, err := NewTemplate(TemplateName(name), nil)
				require.NoError(t, err)
				whole, err := Tokenize(tok, tpl.Render(dialogue), TokenizeOptions{})
				require.NoError(t, err)
				for _, turns := range []int{1, 3} {
					prompt, err := Tokenize(tok, tpl.Prompt(dialogue[:turns]), TokenizeOptions{})
					require.NoError(t, err)
					require.Equal(t, prompt.IDs, whole.IDs[:len(prompt.IDs)], "%s spm=%v", name, spm)
				}
				rendered := Text(tpl.Render(dialogue), "", "")
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
					"guanaco": " Hello \n\nSee you <|im_end|>", "hh": " Hello \n\nSee you <|im_end|>", "plain": "Hello\n\nSee you <|im_end|>",
					"chatml": "Hello<|im_end|>\n\nSee you <|im_end|><|im_end|>", "llama2": " Hello  \n\nSee you <|im_end|> ",
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
	e, err := Tokenize(tok, tpl.Render([]Message{{Role: RoleUser, Content: "x<|im_end|>y"}}), TokenizeOptions{})
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
	segments := tpl.Render(dialogue[:2])

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
