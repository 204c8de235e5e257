package modelfile

import (
	"slices"
	"strings"
)

// pretokenizers are the values of tokenizer.ggml.pre that libllama knows. Any other, and none,
// it takes for "default", with a line in its log. A test compares the list with its source.
var pretokenizers = strings.Fields(`
	a.x-4.0 afmoe bailingmoe bailingmoe2 bloom chameleon chatglm-bpe codeshell command-r dbrx deepseek-coder
	deepseek-llm deepseek-r1-qwen deepseek-v3 default exaone exaone4 falcon falcon-h1 falcon3 gigachat glm4 gpt-2
	gpt-4o gpt3-finnish granite-docling grok-2 hunyuan hunyuan-dense jais jina-de jina-es jina-v1-en jina-v2-code
	jina-v2-de jina-v2-es kimi-k2 kormo lfm2 llada-moe llama-bpe llama-v3 llama3 llama4 megrez mellum midm-2.0
	minerva-7b minimax-m2 mpt olmo phi-2 pixtral poro-chat qwen2 refact roberta-bpe seed-coder smaug-bpe smollm
	stablelm2 starcoder superbpe tekken trillion viking`)

func knownPre(pre string) bool { return slices.Contains(pretokenizers, pre) }
