package pipeline

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

// placed is an adapter with what its file says, as it stands in a stack.
func (b *Bench) placed(path string, host *adapter.Adapter) adapter.Placed {
	p := adapter.Placed{Path: path, Adapter: host}
	if b.expected[path] != nil {
		return p // not trained yet
	}
	if b.contents == nil {
		b.contents = map[string]string{}
	}
	if b.contents[path] == "" {
		b.contents[path] = host.ContentSHA256()
	}
	p.Content = b.contents[path]
	return p
}

// placedAll is a loaded stack, lowest first.
func (b *Bench) placedAll(paths []string, live []*ggml.Adapter) []adapter.Placed {
	out := make([]adapter.Placed, len(paths))
	for i, p := range paths {
		out[i] = b.placed(p, live[i].Describe())
	}
	return out
}

// checkStack refuses a stack in which an adapter lies on others than it was trained on, or
// says so where that is wanted. Adapters that do not tell what they were trained on are
// named once.
func (b *Bench) checkStack(stack []adapter.Placed) error {
	unknown, err := adapter.CheckStack(stack)
	for _, path := range unknown {
		if !slices.Contains(b.unchecked, path) {
			b.unchecked = append(b.unchecked, path)
		}
	}
	switch {
	case err == nil:
		return nil
	case b.AnyStack:
		b.warnOnce(err.Error() + " (allowed by " + AnyStack + ")")
		return nil
	}
	return fmt.Errorf("%w; to use them all the same, and be told so: --any-stack (%s: true)", err, AnyStack)
}

// warnOnce keeps a warning for the next time that they are printed, unless it was there
// before.
func (b *Bench) warnOnce(text string) { b.once(&b.warnings, text) }

// remark is warnOnce for what is as it should be.
func (b *Bench) remark(text string) { b.once(&b.remarks, text) }

func (b *Bench) once(list *[]string, text string) {
	if b.said == nil {
		b.said = map[string]bool{}
	}
	if !b.said[text] {
		b.said[text] = true
		*list = append(*list, text)
	}
}

// noteUnchecked names, once, the adapters that do not tell what they were trained on.
func (b *Bench) noteUnchecked(p train.Progress) {
	if b.toldUnchecked == len(b.unchecked) {
		return
	}
	names := b.unchecked[b.toldUnchecked:]
	b.toldUnchecked = len(b.unchecked)
	const most = 3
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	p.Note(fmt.Sprintf("warning: %s%s: made elsewhere, or by an older steer, and does not say on which adapters it was "+
		"trained: "+
		"whether it lies on the right ones here cannot be checked", strings.Join(names, ", "), more))
}

// use is what a stack is loaded for; "" is anything.
type use string

const (
	usePolicy use = "a model that writes answers"       // of PPO, evaluation, generation
	useBelow  use = "the adapter below a reward model"  // of reward
	useReward use = "a reward model"                    // of PPO, evaluation
	useSFT    use = "an SFT adapter that goes on"       // init_adapter of sft
	useInit   use = "a reward adapter's starting point" // init_adapter of reward
)

// checkRole refuses an adapter that was trained for something else than it is used for.
// One that does not say is known by its head: reward models have one, SFT adapters have none.
func checkRole(path string, a *adapter.Adapter, u use) error {
	role := a.Role()
	wrong := func(is, hint string) error {
		return fmt.Errorf("adapter %s is %s, not %s: %s", path, is, u, hint)
	}
	is := map[adapter.Role]string{
		adapter.RoleSFT: "an SFT adapter", adapter.RoleReward: "a reward model",
		adapter.RolePolicy: "a policy's adapter (its head is a value head)",
	}[role]
	switch {
	case u == useReward && a.Head == nil:
		return fmt.Errorf("adapter %s: the adapter has no scalar head: it is not a reward model; name one made by "+
			"steer reward", path)
	case u == useReward && (role == adapter.RoleSFT || role == adapter.RolePolicy):
		return wrong(is, "name one made by steer reward")
	case (u == usePolicy || u == useBelow || u == useSFT) && role == adapter.RoleReward:
		return wrong(is, "name one made by steer sft or steer ppo")
	case u == useInit && role == adapter.RolePolicy:
		return wrong(is, "name a reward model's adapter, or an SFT adapter, which gets a head")
	case (u == useBelow || u == useSFT) && role == "" && a.Head != nil:
		return wrong("an adapter with a scalar head that does not say what it is (a reward model's, or a "+
			"policy's)", "name one made by steer sft")
	}
	return nil
}

// checkRoles is checkRole for a whole stack.
func checkRoles(stack []adapter.Placed, u use) error {
	var errs []error
	for _, p := range stack {
		errs = append(errs, checkRole(p.Path, p.Adapter, u))
	}
	return errors.Join(errs...)
}
