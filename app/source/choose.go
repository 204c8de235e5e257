package source

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"steer/internal/hub"
)

// Kind is what a name is to be.
type Kind string

// The kinds.
const (
	Model      Kind = "model"      // a GGUF file, with all of its parts
	Checkpoint Kind = "checkpoint" // a folder of safetensors, to be converted
	Adapter    Kind = "adapter"    // a GGUF file or PEFT folder
	Data       Kind = "data"       // a file of rows
	Any        Kind = "any"        // whatever of these the repository holds
)

// Choice is what of a repository is meant.
type Choice struct {
	Kind Kind
	// Files are fetched; the first is the one that a path names, unless Folder does.
	Files []hub.File
	// Folder: the path names the folder that holds Files; Dir is the folder in the repository.
	Folder bool
	Dir    string
	// Also is said besides.
	Also string
}

// Main is the path in the repository that is named: that of a file, or of a folder ("" for all).
func (c Choice) Main() string {
	if c.Folder {
		return c.Dir
	}
	return c.Files[0].Path
}

// Choose finds which files of a repository a name means. Errors are a [*ChoiceError].
func Choose(kind Kind, r hub.Ref, files []hub.File) (Choice, error) {
	x := chooser{ref: r, files: files}
	if r.File != "" {
		if f, ok := x.exactly(r.File); ok && pickled(f.Path) {
			return Choice{}, x.fail("%s holds pickled weights, which can run programs when they are read. %s", f.Path,
				wayToSafetensors)
		}
	}
	switch kind {
	case Model:
		return x.model()
	case Checkpoint:
		return x.checkpoint()
	case Adapter:
		return x.adapter()
	case Data:
		return x.data()
	}
	return x.any()
}

// chooser knows the files of a repository.
type chooser struct {
	ref   hub.Ref
	files []hub.File
}

// ChoiceError: a name does not mean exactly one thing.
type ChoiceError struct {
	Ref  hub.Ref
	Text string
	// Options are names that would do.
	Options []Option
	// NoFile: the repository lacks what is named; a newer commit may have it.
	NoFile bool
}

// Option is a name that could have been meant.
type Option struct {
	Name  string
	Bytes int64
}

// Error implements error.
func (e *ChoiceError) Error() string {
	text := e.Ref.String() + ": " + e.Text
	width := 0
	for _, o := range e.Options {
		width = max(width, len(o.Name))
	}
	const most = 24
	for i, o := range e.Options {
		if i == most {
			text += fmt.Sprintf("\n  and %d more: steer fetch --list %s", len(e.Options)-most, e.Ref.Of())
			break
		}
		text += fmt.Sprintf("\n  %-*s  %s", width, o.Name, sizeText(o.Bytes))
	}
	return text
}

func (x *chooser) fail(format string, args ...any) *ChoiceError {
	return &ChoiceError{Ref: x.ref, Text: fmt.Sprintf(format, args...), NoFile: true}
}

// options are names for files, as short as they may be.
func (x *chooser) options(groups []group, what func(string) bool) []Option {
	var out []Option
	for _, g := range groups {
		out = append(out, Option{x.ref.With(x.short(g, what)).String(), g.bytes()})
	}
	return out
}

// group is a file, or the parts of one that was split.
type group []hub.File

func (g group) bytes() (sum int64) {
	for _, f := range g {
		sum += max(f.Bytes, 0)
	}
	return sum
}

// partPattern is the end of the names of parts: -00001-of-00003.gguf.
var partPattern = regexp.MustCompile(`-(\d{5})-of-(\d{5})(\.[a-z]+)$`)

// groups puts parts together; files that what does not want are left out.
func (x *chooser) groups(what func(string) bool) (out []group) {
	at := map[string]int{}
	for _, f := range x.files {
		if !what(f.Path) {
			continue
		}
		whole := partPattern.ReplaceAllString(f.Path, "-of-$2$3")
		if i, ok := at[whole]; ok && whole != f.Path {
			out[i] = append(out[i], f)
			continue
		}
		at[whole] = len(out)
		out = append(out, group{f})
	}
	for _, g := range out {
		slices.SortFunc(g, func(a, b hub.File) int { return strings.Compare(a.Path, b.Path) })
	}
	return out
}

// whole is an error if a part is missing.
func (x *chooser) whole(g group) error {
	m := partPattern.FindStringSubmatch(g[0].Path)
	if m == nil {
		return nil
	}
	n, err := strconv.Atoi(m[2])
	if err != nil || len(g) != n {
		return x.fail("%s is one of %s parts, and %d of them are there", g[0].Path, strings.TrimLeft(m[2], "0"), len(g))
	}
	return nil
}

// exactly finds a file by its path.
func (x *chooser) exactly(name string) (hub.File, bool) {
	i := slices.IndexFunc(x.files, func(f hub.File) bool { return f.Path == name })
	if i < 0 {
		return hub.File{}, false
	}
	return x.files[i], true
}

// named finds the groups that a word means: a path, the name of a file whatever folder it is in, or a
// word of a name such as a quantization's (Q4_K_M) or a split's (train).
func named(groups []group, word string) []group {
	is := func(same func(path string) bool) (found []group) {
		for _, g := range groups {
			if slices.ContainsFunc(g, func(f hub.File) bool { return same(f.Path) }) {
				found = append(found, g)
			}
		}
		return found
	}
	for _, same := range []func(string) bool{
		func(p string) bool { return p == word },
		func(p string) bool { return strings.EqualFold(p, word) || strings.EqualFold(path.Base(p), word) },
		func(p string) bool { return hasWord(p, word) },
	} {
		if found := is(same); len(found) > 0 {
			return found
		}
	}
	return nil
}

// hasWord tells whether a word stands in a path between dots, dashes and slashes; before it, an
// underscore divides, too. Q4_K is no word of Q4_K_M.
func hasWord(p, word string) bool {
	p, word = strings.ToLower(p), strings.ToLower(word)
	for from := 0; ; {
		i := strings.Index(p[from:], word)
		if i < 0 {
			return false
		}
		i += from
		before := i == 0 || strings.ContainsRune("-._/ ", rune(p[i-1]))
		end := i + len(word)
		after := end == len(p) || strings.ContainsRune("-./ ", rune(p[end]))
		if before && after {
			return true
		}
		from = i + 1
	}
}

// quantPattern finds the word for a quantization in a name.
var quantPattern = regexp.MustCompile(
	`(?i)(?:^|[-._/])((?:UD-)?(?:I?Q[1-8]|TQ[12]|MXFP4|BF16|FP?16|FP?32)(?:_\w+)?)(?:[-./]|$)`)

// short is the shortest word that means a group and no other.
func (x *chooser) short(g group, what func(string) bool) string {
	all := x.groups(what)
	words := []string{}
	for _, m := range quantPattern.FindAllStringSubmatch(g[0].Path, -1) {
		words = append(words, m[1])
	}
	for _, w := range append(words, path.Base(g[0].Path)) {
		if found := named(all, w); len(found) == 1 && found[0][0].Path == g[0].Path {
			return w
		}
	}
	return g[0].Path
}

// one finds the one group that is meant, or says which there are.
func (x *chooser) one(groups []group, what func(string) bool, plural string) (group, error) {
	if x.ref.File == "" {
		if len(groups) == 1 {
			return groups[0], x.whole(groups[0])
		}
		err := x.fail("it holds %d %s: name one of them:", len(groups), plural)
		err.Options, err.NoFile = x.options(groups, what), false
		return nil, err
	}
	found := named(groups, x.ref.File)
	switch len(found) {
	case 1:
		return found[0], x.whole(found[0])
	case 0:
		err := x.fail("none of its %s is called so: there are", plural)
		err.Options = x.options(groups, what)
		return nil, err
	}
	err := x.fail("%q means %d of its %s: name one of them:", x.ref.File, len(found), plural)
	err.Options, err.NoFile = x.options(found, what), false
	return nil, err
}

// isGGUF finds models among the files: what goes with one for its eyes or its quantization is none.
func isGGUF(p string) bool {
	base := strings.ToLower(path.Base(p))
	return strings.HasSuffix(base, ".gguf") && !strings.HasPrefix(base, "mmproj") && !strings.HasPrefix(base, "imatrix")
}

// model finds a GGUF file.
func (x *chooser) model() (Choice, error) {
	if f, ok := x.exactly(x.ref.File); ok && !strings.HasSuffix(f.Path, ".gguf") {
		if strings.HasSuffix(f.Path, ".safetensors") {
			return Choice{}, x.fail("%s is no GGUF file: %s", f.Path, x.convert())
		}
		return Choice{}, x.fail("%s is no GGUF file", f.Path)
	}
	groups := x.groups(isGGUF)
	if len(groups) == 0 {
		return Choice{}, x.noModel()
	}
	g, err := x.one(groups, isGGUF, "models (GGUF)")
	return Choice{Kind: Model, Files: g}, err
}

// convert says how a model is made of a checkpoint.
func (x *chooser) convert() string {
	return fmt.Sprintf("\"steer model convert %s -o base.gguf --type q4_k_m\" makes one of the checkpoint", x.ref.Of())
}

// noModel says what there is in place of a model.
func (x *chooser) noModel() *ChoiceError {
	has := func(what func(string) bool) bool {
		return slices.ContainsFunc(x.files, func(f hub.File) bool { return what(f.Path) })
	}
	_, peft := x.exactly("adapter_config.json")
	switch {
	case peft:
		return x.fail("it holds an adapter, not a model: it is for --adapter, on top of a model")
	case has(isShard):
		return x.fail("it holds no GGUF file, but a checkpoint in safetensors: %s", x.convert())
	case has(pickled):
		return x.fail("it holds no model but pickled weights, which can run programs when they are read. %s",
			wayToSafetensors)
	}
	return x.fail("it holds no model: neither a GGUF file nor a checkpoint in safetensors. %s", x.contents())
}

// contents lists what there is, in a line.
func (x *chooser) contents() string {
	const most = 8
	var names []string
	for _, f := range x.files[:min(most, len(x.files))] {
		names = append(names, f.Path)
	}
	if len(names) == 0 {
		return "It is empty"
	}
	text := "It holds " + strings.Join(names, ", ")
	if rest := len(x.files) - most; rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return text
}

// wayToSafetensors is what helps where weights are pickled.
const wayToSafetensors = "steer does not read them. The same model in safetensors: look for another repository of " +
	"it, or for a branch that the hub's converter made (https://huggingface.co/spaces/safetensors/convert), or write " +
	"one where you trust the file, with transformers: " +
	"AutoModelForCausalLM.from_pretrained(NAME).save_pretrained(FOLDER, safe_serialization=True)"

// pickled tells files of pickled weights.
func pickled(p string) bool {
	return slices.Contains([]string{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}, path.Ext(p))
}

// isShard finds the weights of a checkpoint.
func isShard(p string) bool {
	return strings.HasSuffix(p, ".safetensors") && !strings.HasPrefix(path.Base(p), "adapter_model")
}

// besides are the files that a conversion reads besides the weights.
var besides = []string{
	"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json",
	"vocab.txt", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
	"chat_template.json", "model.safetensors.index.json", "tekken.json", "params.json",
}

// checkpoint finds the files of one folder that make up a checkpoint.
func (x *chooser) checkpoint() (Choice, error) {
	dir := x.ref.File
	inDir := func(p string) (string, bool) {
		if dir == "" {
			return p, !strings.Contains(p, "/")
		}
		base, ok := strings.CutPrefix(p, dir+"/")
		return base, ok && !strings.Contains(base, "/")
	}
	weights := x.groups(func(p string) bool {
		_, ok := inDir(p)
		return ok && isShard(p)
	})
	// Some repositories hold the same weights under the names of their makers as well.
	if slices.ContainsFunc(weights, func(g group) bool { return strings.HasPrefix(path.Base(g[0].Path), "model") }) {
		weights = slices.DeleteFunc(weights, func(g group) bool {
			return strings.HasPrefix(path.Base(g[0].Path), "consolidated")
		})
	}
	if len(weights) == 0 {
		return Choice{}, x.noCheckpoint()
	}
	c := Choice{Kind: Checkpoint, Folder: true, Dir: dir}
	for _, g := range weights {
		if err := x.whole(g); err != nil {
			return c, err
		}
	}
	for _, f := range x.files {
		if base, ok := inDir(f.Path); ok && slices.Contains(besides, base) ||
			strings.HasPrefix(f.Path, path.Join(dir, "additional_chat_templates")+"/") {
			c.Files = append(c.Files, f)
		}
	}
	for _, g := range weights {
		c.Files = append(c.Files, g...)
	}
	if _, ok := x.exactly(path.Join(dir, "config.json")); !ok {
		return c, x.fail("its weights have no config.json beside them, which says what network they are")
	}
	return c, nil
}

// noCheckpoint says what there is in place of a checkpoint.
func (x *chooser) noCheckpoint() *ChoiceError {
	if len(x.groups(isGGUF)) > 0 {
		return x.fail("it holds no checkpoint in safetensors but GGUF files, which need no conversion. %s",
			x.contents())
	}
	if e := x.noModel(); !slices.ContainsFunc(x.files, func(f hub.File) bool { return isShard(f.Path) }) {
		return e
	}
	return x.fail("the weights are in a folder of it: name that behind a colon. %s", x.contents())
}

// adapter finds a PEFT folder, or an adapter in GGUF.
func (x *chooser) adapter() (Choice, error) {
	dir := x.ref.File
	_, peft := x.exactly(path.Join(dir, "adapter_config.json"))
	if groups := x.groups(isGGUF); !peft && len(groups) > 0 {
		g, err := x.one(groups, isGGUF, "adapters (GGUF)")
		return Choice{Kind: Adapter, Files: g}, err
	}
	c := Choice{Kind: Adapter, Folder: true, Dir: dir}
	for _, name := range []string{"adapter_config.json", "adapter_model.safetensors"} {
		f, ok := x.exactly(path.Join(dir, name))
		if !ok && slices.ContainsFunc(x.files, func(f hub.File) bool { return pickled(f.Path) }) {
			return c, x.fail("it has no %s but pickled weights, which can run programs when they are read. Write it "+
				"anew where you trust the file, with peft: save_pretrained(FOLDER, safe_serialization=True)",
				path.Join(dir, name))
		}
		if !ok {
			return c, x.fail("it holds no adapter: there is no %s. %s", path.Join(dir, name), x.contents())
		}
		c.Files = append(c.Files, f)
	}
	return c, nil
}

// dataFormats are the endings of files of rows.
var dataFormats = []string{".parquet", ".jsonl", ".json", ".csv", ".tsv", ".xml", ".txt"}

// isData finds files of rows; what only describes a data set is none.
func isData(p string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(path.Base(p)), ".gz"), ".zst")
	switch base {
	case "dataset_infos.json", "dataset_info.json", "state.json", "config.json", "requirements.txt", "license.txt":
		return false
	}
	return slices.Contains(dataFormats, path.Ext(base)) && !strings.HasPrefix(base, ".")
}

// data finds a file of rows.
func (x *chooser) data() (Choice, error) {
	if f, ok := x.exactly(x.ref.File); ok {
		return Choice{Kind: Data, Files: group{f}}, nil // whatever it is called; a part stands for itself
	}
	var groups []group // parts are files of their own: a path names one
	for _, f := range x.files {
		if isData(f.Path) {
			groups = append(groups, group{f})
		}
	}
	if len(groups) == 0 {
		return Choice{}, x.noData()
	}
	g, err := x.one(groups, isData, "files of data")
	return Choice{Kind: Data, Files: g}, err
}

func (x *chooser) noData() *ChoiceError {
	if !x.ref.Dataset {
		other := x.ref
		other.Dataset = true
		return x.fail("this is a model's repository, and holds no data. A data set is named so: %s", other)
	}
	return x.fail("it holds no parquet, JSON, CSV or TSV file. The hub makes parquet files of many data sets: try "+
		"%s. %s", x.ref.Of().At("refs/convert/parquet"), x.contents())
}

// any finds whatever the repository holds: a model before a checkpoint.
func (x *chooser) any() (Choice, error) {
	if f, ok := x.exactly(x.ref.File); ok && !isGGUF(f.Path) {
		return Choice{Kind: Any, Files: group{f}}, nil
	}
	if x.ref.Dataset {
		return x.data()
	}
	_, peft := x.exactly("adapter_config.json")
	ggufs := len(x.groups(isGGUF))
	switch {
	case peft:
		return x.adapter()
	case ggufs == 0 && slices.ContainsFunc(x.files, func(f hub.File) bool { return isShard(f.Path) }):
		return x.checkpoint()
	}
	c, err := x.model()
	if _, ok := x.exactly("model.safetensors.index.json"); ok || slices.ContainsFunc(x.files, func(f hub.File) bool {
		return f.Path == "model.safetensors"
	}) {
		c.Also = cmp.Or(c.Also, fmt.Sprintf("It holds a checkpoint in safetensors, too: steer model convert %s "+
			"fetches that", x.ref.Of()))
	}
	return c, err
}
