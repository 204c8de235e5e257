package export

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"steer/ggml/lm"
	"steer/internal/testfiles"
	"steer/rl/data"
)

// chatOf renders by a template of rl/data.
func chatOf(t *data.Template) Chat {
	return func(messages []data.Message) (string, error) {
		segments, err := t.Prompt(messages)
		return data.Text(segments, "<s>", "</s>"), err
	}
}

// The templates that steer knows by heart come out of Ollama's code exactly.
func TestGoTemplatesOfNamedTemplates(t *testing.T) {
	system := "Be good."
	for _, name := range []data.TemplateName{
		data.TemplateGuanaco, data.TemplateChatML, data.TemplateLlama2, data.TemplateHH, data.TemplatePlain,
	} {
		for _, s := range []*string{nil, &system} {
			own, err := data.NewTemplate(name, s)
			require.NoError(t, err)
			source, err := GoTemplate(chatOf(own))
			require.NoError(t, err)
			c, err := Compare(chatOf(own), source)
			require.NoError(t, err)
			d, differ := c.Worst(true)
			require.False(t, differ, "%s: %s\n%s", name, d, source)
			for _, d := range c.Differences {
				t.Logf("%s: %s", name, d)
			}
		}
	}
}

// Those of models that people have: in which of them a plain conversation agrees, and which are found
// to differ and refused.
func TestGoTemplatesOfModels(t *testing.T) {
	var g struct {
		Templates []struct {
			Name, File string
			Tokens     map[string]string `json:"special_tokens"`
		}
	}
	testfiles.ReadGolden(t, "chat/chat.json.gz", &g)
	differ := map[string]bool{}
	for _, c := range g.Templates {
		source, err := os.ReadFile(testfiles.Golden(t, "chat/"+c.File))
		require.NoError(t, err)
		own, err := data.NewOwnTemplate(lm.Chat{Template: string(source), Names: c.Tokens}, nil,
			time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC))
		require.NoError(t, err)
		text, err := GoTemplate(chatOf(own))
		require.NoError(t, err, c.Name)
		compared, err := Compare(chatOf(own), text)
		require.NoError(t, err)
		if d, found := compared.Worst(true); found {
			differ[c.Name] = true
			t.Logf("%s: %s", c.Name, d)
		}
		t.Logf("%s: %d alike, %d differ, refused %v", c.Name, compared.Same, len(compared.Differences),
			compared.Refused)
	}
	require.Equal(t, map[string]bool{}, differ)
}
