package workspace

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"steer/ggml"
	"steer/ggml/adapter"
	"steer/rl/train"
)

// AnyStack is how a user says that adapters are meant to lie on others than they were
// trained on; it is a key of jobs and a flag of commands.
const AnyStack = "any_stack"

// Placed is an adapter with what its file says, as it stands in a stack.
func (w *Workspace) Placed(path string, host *adapter.Adapter) adapter.Placed {
	p := adapter.Placed{Path: path, Adapter: host}
	if w.expected[path] != nil {
		return p // not trained yet
	}
	if w.contents == nil {
		w.contents = map[string]string{}
	}
	if w.contents[path] == "" {
		w.contents[path] = host.ContentSHA256()
	}
	p.Content = w.contents[path]
	return p
}

// placedAll is a loaded stack, lowest first.
func (w *Workspace) placedAll(paths []string, live []*ggml.Adapter) []adapter.Placed {
	out := make([]adapter.Placed, len(paths))
	for i, p := range paths {
		out[i] = w.Placed(p, live[i].Describe())
	}
	return out
}

// CheckStack refuses a stack in which an adapter lies on others than it was trained on, or
// says so where that is wanted. Adapters that do not tell what they were trained on are
// named once.
func (w *Workspace) CheckStack(stack []adapter.Placed) error {
	unknown, err := adapter.CheckStack(stack)
	for _, path := range unknown {
		if !slices.Contains(w.unchecked, path) {
			w.unchecked = append(w.unchecked, path)
		}
	}
	switch {
	case err == nil:
		return nil
	case w.AnyStack:
		w.warnOnce(err.Error() + " (allowed by " + AnyStack + ")")
		return nil
	}
	return fmt.Errorf("%w; to use them all the same, and be told so: --any-stack (%s: true)", err, AnyStack)
}

// warnOnce keeps a warning for the next time that they are printed, unless it was there
// before.
func (w *Workspace) warnOnce(text string) { w.once(&w.warnings, text) }

// Remark is warnOnce for what is as it should be.
func (w *Workspace) Remark(text string) { w.once(&w.remarks, text) }

func (w *Workspace) once(list *[]string, text string) {
	if w.said == nil {
		w.said = map[string]bool{}
	}
	if !w.said[text] {
		w.said[text] = true
		*list = append(*list, text)
	}
}

// noteUnchecked names, once, the adapters that do not tell what they were trained on.
func (w *Workspace) noteUnchecked(p train.Progress) {
	if w.toldUnchecked == len(w.unchecked) {
		return
	}
	names := w.unchecked[w.toldUnchecked:]
	w.toldUnchecked = len(w.unchecked)
	const most = 3
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	p.Note(fmt.Sprintf("warning: %s%s: made elsewhere, or by an older steer, and does not say on which adapters it "+
		"was trained: whether it lies on the right ones here cannot be checked", strings.Join(names, ", "), more))
}

// Use is what a stack is loaded for; "" is anything.
type Use string

const (
	UsePolicy Use = "a model that writes answers"       // of PPO, evaluation, generation
	UseBelow  Use = "the adapter below a reward model"  // of reward
	UseReward Use = "a reward model"                    // of PPO, evaluation
	UseSFT    Use = "an SFT adapter that goes on"       // init_adapter of sft
	UseInit   Use = "a reward adapter's starting point" // init_adapter of reward
)

// CheckRole refuses an adapter that was trained for something else than it is used for.
// One that does not say is known by its head: reward models have one, SFT adapters have none.
func CheckRole(path string, a *adapter.Adapter, u Use) error {
	role := a.Role()
	wrong := func(is, hint string) error {
		return fmt.Errorf("adapter %s is %s, not %s: %s", path, is, u, hint)
	}
	is := map[adapter.Role]string{
		adapter.RoleSFT: "an SFT adapter", adapter.RoleReward: "a reward model",
		adapter.RolePolicy: "a policy's adapter (its head is a value head)",
	}[role]
	switch {
	case u == UseReward && a.Head == nil:
		return fmt.Errorf("adapter %s: the adapter has no scalar head: it is not a reward model; name one made by "+
			"steer reward", path)
	case u == UseReward && (role == adapter.RoleSFT || role == adapter.RolePolicy):
		return wrong(is, "name one made by steer reward")
	case (u == UsePolicy || u == UseBelow || u == UseSFT) && role == adapter.RoleReward:
		return wrong(is, "name one made by steer sft, steer ppo or steer dpo")
	case u == UseInit && role == adapter.RolePolicy:
		return wrong(is, "name a reward model's adapter, or an SFT adapter, which gets a head")
	case (u == UseBelow || u == UseSFT) && role == "" && a.Head != nil:
		return wrong("an adapter with a scalar head that does not say what it is (a reward model's, or a "+
			"policy's)", "name one made by steer sft")
	}
	return nil
}

// checkRoles is checkRole for a whole stack.
func checkRoles(stack []adapter.Placed, u Use) error {
	var errs []error
	for _, p := range stack {
		errs = append(errs, CheckRole(p.Path, p.Adapter, u))
	}
	return errors.Join(errs...)
}
