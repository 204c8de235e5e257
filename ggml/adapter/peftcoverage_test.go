package adapter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/ggml/adapter"
	"steer/ggml/adapter/safetensors"
)

// inLayers are the tensors of a module in some layers.
func inLayers(module string, nIn, nOut int64, layers ...string) (out []safetensors.Tensor) {
	for _, l := range layers {
		for _, p := range pair(module, 2, nIn, nOut) {
			p.Name = strings.Replace(p.Name, "layers.0.", "layers."+l+".", 1)
			out = append(out, p)
		}
	}
	return out
}

// A folder with weights for less, or more, than its configuration names says so, with counts.
func TestCoverageOfAPEFTFolder(t *testing.T) {
	four := small
	four.Layers = 4
	both := func(layers ...string) []safetensors.Tensor {
		return append(inLayers("self_attn.q_proj", 16, 16, layers...), inLayers("self_attn.v_proj", 16, 8,
			layers...)...)
	}
	for name, c := range map[string]struct {
		config  map[string]any
		tensors []safetensors.Tensor
		want    []string
	}{
		"all": {nil, both("0", "1", "2", "3"), nil},
		"half": {nil, both("0", "1"), []string{"q_proj, v_proj: weights in 2 of the 4 layers that the base " +
			"has, none in layers 2-3: these stay as the base has them"}},
		"as named":      {map[string]any{"layers_to_transform": []int{1, 0}}, both("0", "1"), nil},
		"one, as named": {map[string]any{"layers_to_transform": 2}, both("2"), nil},
		"beside": {map[string]any{"layers_to_transform": []int{0, 1}}, both("0", "1", "2", "3"),
			[]string{"q_proj, v_proj: layers_to_transform names layers 0-1 (2), but there are weights in layers 2-3 " +
				"(2) as well: they are used, PEFT would leave them out"}},
		"named elsewhere": {map[string]any{"layers_to_transform": []int{2, 3}}, both("0"),
			[]string{"weights in 0 of the 2 layers that layers_to_transform names, none in layers 2-3",
				"there are weights in layers 0 (1) as well"}},
		"uneven": {nil, append(inLayers("self_attn.q_proj", 16, 16, "0", "1", "2", "3"),
			inLayers("self_attn.v_proj", 16, 8, "1", "3")...),
			[]string{"v_proj: weights in 2 of the 4 layers that the base has, none in layers 0, 2"}},
		"a target without weights": {map[string]any{"target_modules": []string{"q_proj", "v_proj", "up_proj"}},
			both("0", "1", "2", "3"),
			[]string{"target_modules names 3 modules, of which up_proj have no weights in any layer"}},
		"a pattern of targets": {map[string]any{"target_modules": ".*_proj"}, both("0", "1", "2", "3"), nil},
		"excluded": {map[string]any{"target_modules": []string{"q_proj", "v_proj", "up_proj"},
			"exclude_modules": []string{"up_proj"}}, both("0", "1", "2", "3"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := adapter.ImportPEFT(folder(t, c.config, c.tensors...), four)
			require.NoError(t, err)
			require.Len(t, a.Notices, len(c.want), "%v", a.Notices)
			for i, w := range c.want {
				require.Contains(t, a.Notices[i], w)
			}
		})
	}
}

// What LoraConfig does not write out has PEFT's default, and is said.
func TestDefaultsOfLoraConfig(t *testing.T) {
	eight := func(name string) []safetensors.Tensor { return pair(name, 8, 16, 16) }
	a, err := adapter.ImportPEFT(folder(t, map[string]any{"r": absent, "lora_alpha": absent},
		eight("self_attn.q_proj")...), small)
	require.NoError(t, err)
	require.Equal(t, float32(8), a.Alpha)
	require.Equal(t, 8, a.Rank())
	require.Contains(t, a.Notices[0], `does not give "r": PEFT's default of 8 is used`)
	require.Contains(t, a.Notices[1], `does not give "lora_alpha": PEFT's default of 8 is used`)

	a, err = adapter.ImportPEFT(folder(t, map[string]any{"r": 2.0, "lora_alpha": 3.5}), small)
	require.NoError(t, err, "JSON writes a whole number as it likes")
	require.Equal(t, float32(3.5), a.Alpha)
}

// Mistakes in the configuration are said in JSON's words, not in those of this program's types.
func TestMistakesInTheConfigurationNameNoGoType(t *testing.T) {
	for want, config := range map[string]map[string]any{
		`field "r": want a whole number, got "16"`:          {"r": "16"},
		`field "r": want a whole number, got 2.5`:           {"r": 2.5},
		`field "r": want a whole number, got null`:          {"r": nil},
		`field "r": want at least 1, got -2`:                {"r": -2},
		`field "lora_alpha": want a number, got [16]`:       {"lora_alpha": []int{16}},
		`field "use_rslora": want true or false, got "yes"`: {"use_rslora": "yes"},
		`field "modules_to_save": want a list of names, got {"a":1}`: {
			"modules_to_save": map[string]int{"a": 1}},
		`field "alpha_pattern": want an object of numbers, got {"q_proj":"x"}`: {
			"alpha_pattern": map[string]string{"q_proj": "x"}},
		`field "peft_type": want a text, got 3`:                                  {"peft_type": 3},
		`field "layers_to_transform": want a layer's number or a list of them`:   {"layers_to_transform": "all"},
		`field "target_modules": want a list of names or a pattern, got [1,2,3]`: {"target_modules": []int{1, 2, 3}},
	} {
		_, err := adapter.ImportPEFT(folder(t, config), small)
		require.ErrorContains(t, err, want)
		for _, leaked := range []string{"Go ", "float64", "int ", "[]string", "peftConfig", "json: "} {
			require.NotContains(t, strings.ReplaceAll(err.Error(), "adapter_config.json:", ""), leaked)
		}
	}
}
