package tokenizer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
)

// specialNames are special tokens by their names in tokenizer_config.json and in GGUF.
var specialNames = []struct{ hub, gguf string }{
	{"bos", "bos"}, {"eos", "eos"}, {"unk", "unknown"}, {"sep", "seperator"}, {"pad", "padding"}, {"cls", "cls"},
	{"mask", "mask"},
}

var specialOrder = []string{"bos", "eos", "unknown", "seperator", "padding", "cls", "mask", "eot", "eom"}

// added are the tokens of "added_tokens_decoder", in the order of their ids.
func (c configJSON) added() []addedToken {
	var decoder map[string]addedToken
	if json.Unmarshal(c["added_tokens_decoder"], &decoder) != nil {
		return nil
	}
	var all []addedToken
	for id, a := range decoder {
		n, err := strconv.Atoi(id)
		if err != nil {
			continue
		}
		a.ID = n
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b addedToken) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// readSpecial finds the special tokens, first where the tokenizer names them, then among the ids of config.json,
// and whether they are put around a text.
func (t *Tokenizer) readSpecial(f *files, opt Options) error {
	ids := map[string]int{}
	for i, token := range t.Tokens {
		if _, ok := ids[token]; !ok && t.Types[i] != unused {
			ids[token] = i
		}
	}
	for _, a := range f.added() {
		ids[a.Content] = a.ID
	}
	for _, name := range specialNames {
		token := f.config.text(name.hub + "_token")
		id, ok := ids[token]
		if token == "" || !ok {
			id, ok = opt.Ids[name.hub+"_token_id"]
		}
		if !ok {
			continue
		}
		if id < 0 || id >= len(t.Tokens) {
			t.notice("%s token: id %d lies beyond the %d rows of the embedding: it is left "+
				"out", name.hub, id, len(t.Tokens))
			continue
		}
		t.Special[name.gguf] = uint32(id)
	}
	if f.json != nil && f.json.Post != nil {
		t.readPost(f, f.json.Post)
	}
	for _, kind := range []string{"bos", "eos", "sep"} {
		if add, ok := f.config.flag("add_" + kind + "_token"); ok {
			if have, set := t.Add[kind]; !set {
				t.Add[kind] = add
			} else if have != add {
				t.notice("tokenizer_config.json: add_%s_token is %t, but the post_processor of tokenizer.json says "+
					"%t: "+
					"the latter is taken", kind, add, have)
			}
		}
	}
	return t.readEnds(f, opt)
}

// readPost reads from a post-processor which tokens are put around a text.
func (t *Tokenizer) readPost(f *files, p *postProcessor) {
	for i := range p.Processors {
		t.readPost(f, &p.Processors[i])
	}
	switch p.Type {
	case "ByteLevel":
		for _, kind := range []string{"bos", "eos"} {
			if _, ok := t.Add[kind]; !ok {
				t.Add[kind] = false
			}
		}
	case "RobertaProcessing":
		t.Add["bos"], t.Add["eos"], t.Add["sep"] = true, true, true
	case "TemplateProcessing":
		t.readTemplateProcessing(f, p)
	}
}

func (t *Tokenizer) readTemplateProcessing(f *files, p *postProcessor) {
	is := func(token, kind string) bool {
		id, ok := t.Special[kind]
		return ok && token != "" && t.Tokens[id] == token
	}
	first, last := "", ""
	if n := len(p.Single); n > 1 {
		first, last = p.Single[0].special(), p.Single[n-1].special()
	}
	if first != "" {
		t.Add["bos"] = is(first, "bos") || is(first, "cls")
	}
	if last != "" {
		t.Add["eos"] = is(last, "eos")
	}
	if first != "" && !t.Add["bos"] || last != "" && !t.Add["eos"] {
		t.notice("%s: post_processor puts %q before and %q behind a text: GGUF has words for BOS and EOS alone, and "+
			"the others are not put there", f.json.path, first, last)
	}
	pair := p.Pair
	if len(pair) > 0 && first != "" && pair[0].special() == first {
		pair = pair[1:]
	}
	if n := len(pair); n > 0 && last != "" && pair[n-1].special() == last {
		pair = pair[:n-1]
	}
	if len(pair) < 3 {
		return
	}
	t.Add["sep"] = false
	for i, between := range pair[1 : len(pair)-1] {
		ends := is(between.special(), "seperator") || is(between.special(), "eos")
		if ends && (i > 0 || last == "") {
			t.Add["sep"] = true
		}
	}
}

// knownEnds are tokens that libllama takes by their text for ends of a turn, whatever the metadata say.
var knownEnds = []string{"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>",
	"<|endoftext|>", "<|eom_id|>", "<EOT>", "_<EOT>", "<|end_of_text|>", "<end_of_utterance>",
	"<｜end▁of▁sentence｜>"}

// readEnds reads further tokens that end an answer from generation_config.json: "eos_token_id" may be a list.
// Those that libllama does not know by their text get the two names that GGUF has beside EOS, "eom" first: as
// "eot" it finds the usual end of a turn by itself.
func (t *Tokenizer) readEnds(f *files, opt Options) error {
	var g struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	path := f.path("generation_config.json")
	if err := readJSON(path, &g); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	var ids []int
	if json.Unmarshal(g.EOS, &ids) != nil {
		var one *int
		if json.Unmarshal(g.EOS, &one) != nil && g.EOS != nil {
			return fmt.Errorf("%s: eos_token_id is %s: want an id or a list of ids", path, g.EOS)
		}
		if one != nil {
			ids = []int{*one}
		}
	}
	free := []string{"eom", "eot"}
	for _, id := range ids {
		if id < 0 || id >= len(t.Tokens) {
			t.notice("generation_config.json: eos_token_id: id %d lies beyond the %d rows of the embedding: it is "+
				"left out",
				id, len(t.Tokens))
			continue
		}
		if _, ok := t.Special["eos"]; !ok {
			t.Special["eos"] = uint32(id)
		}
		if t.Special["eos"] == uint32(id) || slices.Contains(knownEnds, t.Tokens[id]) {
			continue
		}
		if len(free) == 0 {
			t.notice("generation_config.json: eos_token_id: %q (id %d) ends answers too, but a GGUF file has no more "+
				"names for such tokens", t.Tokens[id], id)
			continue
		}
		t.Special[free[0]], free = uint32(id), free[1:]
	}
	return nil
}
