package proposal

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"steer/app/plan"
	"steer/rl/data"
)

// Write is the experiment as a commented file, which is to be called file and lie in the folder
// dir.
func (p *Proposal) Write(dir, file string) string {
	w := &proposalWriter{Proposal: p, dir: dir, file: file}
	w.head()
	w.sft()
	w.theories()
	w.eval()
	return w.b.String()
}

type proposalWriter struct {
	*Proposal
	dir, file string
	b         strings.Builder
}

func (w *proposalWriter) line(format string, args ...any) { fmt.Fprintf(&w.b, format+"\n", args...) }

// plainText needs no quotes in YAML: a path, or a name that is no number.
var plainText = regexp.MustCompile(`^(\.\./)*[A-Za-z/_][A-Za-z0-9/._-]*$`)

// value is a text as YAML, quoted where it has to be.
func value(text string) string {
	if plainText.MatchString(text) {
		return text
	}
	return strconv.Quote(text)
}

func (w *proposalWriter) head() {
	w.line(`# Made by "steer init". Keys that are not here have the values of the default preset;
# docs/experiments.md says what there is.
#   steer run %[1]s             every stage, then the report; Ctrl-C and again to go on
#   steer run %[1]s --dry-run   every key with its value
#   steer plan %[1]s            memory and time`, w.file)
	if w.ToFetch != "" {
		w.line("#   steer fetch --for %s     its conversations, the set %s", w.file, w.ToFetch)
	}
	if w.Planned != "" {
		w.line("# Planned: %s.", w.Planned)
	}
	w.line("name: %s", value(w.Name))
	w.line("model: %s # %s", w.path(w.Model), w.About)
	w.line("out: %s", value("runs/"+w.Name))
	w.line("template: %s # %s", w.Template, w.Why)
	w.line("seed: 1 # of all training; \"seeds: [1, 2, 3]\" trains everything three times")
	w.line("engine: {device: cpu, sequences: 32} # device: cuda for a GPU; answers generated at once")
	if len(w.Theories) > 0 {
		names := make([]string, len(w.Theories))
		for i, t := range w.Theories {
			names[i] = string(t.Name)
		}
		w.line("theories: [%s]", strings.Join(names, ", "))
	}
}

func (w *proposalWriter) path(path string) string {
	if name, ok := w.Names[path]; ok {
		return value(name)
	}
	return value(relativeTo(w.dir, path))
}

// data is a file of data, with what it needs to be read.
func (w *proposalWriter) data(d Described) string {
	text := w.path(d.Path)
	if len(d.Columns) > 0 {
		var columns []string
		for _, name := range slices.Sorted(maps.Keys(d.Columns)) {
			columns = append(columns, name+": "+value(d.Columns[name]))
		}
		text += ", columns: {" + strings.Join(columns, ", ") + "}"
	}
	if d.DropUnsupported {
		text += ", drop_unsupported: true"
	}
	return text
}

// about is what a file is, in words.
func about(d Described) string {
	if d.Rows == 0 {
		return d.Format.Title()
	}
	return fmt.Sprintf("%d rows: %s", d.Rows, d.Format.Title())
}

// sources are the parts of a file to learn from and to measure on, or two files.
func (w *proposalWriter) sources(train, heldOut Described, limit int) (learn, measure string) {
	if heldOut.Path != "" {
		return fmt.Sprintf("{path: %s}", w.data(train)),
			fmt.Sprintf("{path: %s, limit: %d, seed: 1}", w.data(heldOut), limit)
	}
	share := heldOutShare(train.Rows)
	part := func(name string) string {
		return fmt.Sprintf("{path: %s, split: %s, held_out: %g, seed: 1", w.data(train), name, share)
	}
	return part("train") + "}", part("held_out") + fmt.Sprintf(", limit: %d}", limit)
}

// sizes writes settings that a plan found, each in place of what is usual.
func (w *proposalWriter) sizes(section string, usual ...plan.Setting) {
	found := append([]plan.Setting{}, w.Sizes[section]...)
	for _, u := range usual {
		comment := ""
		for i, s := range found {
			if s.Key == u.Key {
				u, comment = s, " # as much as fits"
				found = append(found[:i], found[i+1:]...)
				break
			}
		}
		w.line("  %s: %v%s", u.Key, u.Value, comment)
	}
	var engine []string
	for _, s := range found {
		if key, ok := strings.CutPrefix(s.Key, "engine."); ok {
			engine = append(engine, fmt.Sprintf("%s: %v", key, s.Value))
			continue
		}
		w.line("  %s: %v # as much as fits", s.Key, s.Value)
	}
	if len(engine) > 0 {
		w.line("  engine: {%s} # as much as fits", strings.Join(engine, ", "))
	}
}

// sftBatch is what an optimizer step of fine-tuning takes; where a pass over the data has fewer steps
// than fewSteps, the default number of passes is better than one.
const (
	sftBatch = 8
	fewSteps = 32
)

func (w *proposalWriter) sft() {
	learn, measure := w.sources(w.Chat, w.HeldOut, 100)
	w.line("\n# Supervised fine-tuning on conversations (docs/sft.md).")
	w.line("# %s", about(w.Chat))
	if w.Tokens.Whole > 0 {
		w.line("# 95 of 100 have at most %d tokens in this model's vocabulary, their first prompt at most %d",
			w.Tokens.Whole, w.Tokens.Prompt)
	}
	w.line("sft:")
	w.line("  train: %s", learn)
	w.line("  eval: %s", measure)
	w.sizes("sft", plan.Setting{Key: "max_tokens", Value: w.maxTokens()},
		plan.Setting{Key: "mini_batch_size", Value: sftBatch},
		plan.Setting{Key: "micro_batch_tokens", Value: max(1024, w.maxTokens())})
	w.line("  %s", w.epochs())
	w.line("  optim: {lr: 2e-4, warmup_steps: -1} # a tenth of the run")
	w.line("  eval_every: 50")
	w.line("  checkpoint_every: 50")
}

// epochs is the line for the passes over the conversations.
func (w *proposalWriter) epochs() string {
	learn := float64(w.Chat.Rows)
	if w.HeldOut.Path == "" {
		learn *= 1 - heldOutShare(w.Chat.Rows)
	}
	if w.Chat.Rows > 0 && int(learn) < sftBatch*fewSteps {
		return fmt.Sprintf("epochs: 0 # as many as make %d updates; max_steps: N stops earlier", fewSteps)
	}
	return "epochs: 1 # max_steps: N stops earlier"
}

func (w *proposalWriter) theories() {
	if len(w.Theories) == 0 {
		w.line(`
# Reward models and policies need preference pairs: ETHICS and hh-rlhf, for instance
# (steer fetch ethics hh-rlhf), or pairs of yours ({"prompt", "chosen", "rejected"}, theory custom).
# Uncomment, and add "cross_reward" to eval:
# theories: [deontology]
# each:
#   deontology:
#     reward:
#       train: {path: data/ethics/deontology/deontology_train.csv, limit: 2000, seed: 1}
#       held_out: {path: data/ethics/deontology/deontology_test.csv, limit: 300, seed: 1}
# ppo:
#   prompts: {path: ...}`)
		return
	}
	w.line("\n# Reward models (docs/rewards.md): what all of them share; their data are below, under each.")
	w.line("reward:")
	w.sizes("reward", plan.Setting{Key: "max_length", Value: min(512, max(w.Context, 64))},
		plan.Setting{Key: "mini_batch_size", Value: 16}, plan.Setting{Key: "micro_batch_tokens", Value: 1024})
	w.line("  max_steps: 200 # optimizer steps; 0: every pair once")
	w.line("  optim: {lr: 2e-4, warmup_steps: 10}")
	w.line("  eval_every: 50")
	w.line("  checkpoint_every: 50")

	learn, measure := w.sources(w.Chat, w.HeldOut, 200)
	w.line("\n# Policies: answers to the prompts of the conversations, steered by PPO (docs/ppo.md).")
	w.line("ppo:")
	w.line("  prompts: %s", learn)
	w.line("  held_out: %s", measure)
	w.line("  max_prompt_tokens: %d", w.promptTokens())
	w.line("  max_new_tokens: %d", w.newTokens())
	w.sizes("ppo", plan.Setting{Key: "rollout_batch_size", Value: 32}, plan.Setting{Key: "mini_batch_size", Value: 16},
		plan.Setting{Key: "micro_batch_size", Value: 8})
	w.line("  iterations: 20 # batches of answers")
	w.line("  ppo_epochs: 2")
	w.line("  optim: {lr: 1e-3}")
	w.line("  kl_coef: 0.05 # higher holds the policy nearer to the SFT model")
	w.line("  checkpoint_every: 5")

	w.line("\neach:")
	for _, t := range w.Theories {
		learn, measure := w.sources(t.Train, t.HeldOut, 300)
		w.line("  %s:", t.Name)
		w.line("    reward:")
		w.line("      # %s", about(t.Train))
		w.line("      train: %s", learn)
		w.line("      held_out: %s", measure)
	}
}

// proposedItems keeps a first evaluation short.
const proposedItems = 200

func (w *proposalWriter) eval() {
	w.line("\n# Measured on every model (docs/eval.md). \"suite: full\" and \"data: data\" add every benchmark")
	w.line("# that \"steer fetch data\" has laid out there.")
	w.line("eval:")
	w.sizes("eval", plan.Setting{Key: "batch_tokens", Value: 2048})
	for _, b := range w.Benchmarks {
		w.line("  # %s", about(b.File))
		protocols := ""
		if b.File.Format == data.FormatAnecdotes {
			protocols = ", protocols: [loglik]"
		}
		w.line("  %s: {path: %s, limit: %d%s} # limit: 0 takes all", b.Key, w.path(b.File.Path), proposedItems,
			protocols)
	}
	held := w.Chat
	if w.HeldOut.Path != "" {
		held = w.HeldOut
	}
	if len(w.Theories) > 0 {
		_, measure := w.sources(w.Chat, w.HeldOut, proposedItems)
		w.line("  cross_reward: # every policy's answers under every reward model")
		w.line("    prompts: %s", measure)
		w.line("    max_prompt_tokens: %d", w.promptTokens())
		w.line("    max_new_tokens: %d", w.newTokens())
		return
	}
	if w.Tokens.Whole >= w.Context {
		w.line("  # kl: {path: %s} # most conversations are longer than the model's context", w.data(held))
		return
	}
	w.line("  kl: {path: %s, limit: 100} # how far each model is from the SFT model, in nats", w.data(held))
}
