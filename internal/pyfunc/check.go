package pyfunc

import "fmt"

// checker looks through a function and those that it uses for what is not understood, so that a
// task is refused before it runs.
type checker struct{ seen map[any]bool }

func newChecker() *checker { return &checker{map[any]bool{}} }

// value checks a value of a file.
func (c *checker) value(v any) error {
	switch x := v.(type) {
	case *poison:
		return x.err
	case *function:
		if c.seen[x.definition] {
			return nil
		}
		c.seen[x.definition] = true
		local := map[string]bool{}
		for _, id := range bound(&block{params: x.params, body: x.body, result: x.definition.result}) {
			local[id] = true
		}
		for s := x.around; s != nil && s.outer != nil; s = s.outer { // of a function around it
			for id := range s.vars {
				local[id] = true
			}
		}
		return c.node(&block{body: x.body, result: x.definition.result}, x.around.file.top, local)
	}
	return nil
}

// block is a piece of a function, for walking.
type block struct {
	params []param
	body   []node
	result node
}

// node checks the names and attributes in a piece of a function.
func (c *checker) node(n node, top *scope, local map[string]bool) error {
	var failed error
	note := func(line int, err error) {
		if err != nil && failed == nil {
			failed = at(line, err)
		}
	}
	walk(n, func(n node) {
		switch x := n.(type) {
		case *name:
			if local[x.id] {
				return
			}
			if v, ok := top.vars[x.id]; ok {
				note(x.line, c.value(v))
			} else if builtins[x.id] == nil {
				note(x.line, fmt.Errorf("%s() is not supported", x.id))
			}
		case *imported:
			note(x.line, fmt.Errorf("import within a function is not supported"))
		case *unreadable:
			note(0, x.err)
		}
	})
	walk(n, func(n node) { // names first: they say more
		if x, ok := n.(*attribute); ok {
			note(x.line, c.attribute(x, top, local))
		}
	})
	return failed
}

// attribute checks the member of a module, or the name of a method.
func (c *checker) attribute(x *attribute, top *scope, local map[string]bool) error {
	if id, ok := x.x.(*name); ok && !local[id.id] {
		if p, bad := top.vars[id.id].(*poison); bad {
			return p.err
		}
		if m, isModule := top.vars[id.id].(*module); isModule {
			v, ok := m.members[x.id]
			if !ok {
				return fmt.Errorf("%s.%s is not supported", m.name, x.id)
			}
			return c.value(v)
		}
	}
	if inner, ok := x.x.(*attribute); ok {
		if id, ok := inner.x.(*name); ok && !local[id.id] {
			if m, isModule := top.vars[id.id].(*module); isModule {
				if sub, ok := m.members[inner.id].(*module); ok {
					if _, ok := sub.members[x.id]; !ok {
						return fmt.Errorf("%s.%s is not supported", sub.name, x.id)
					}
					return nil
				}
			}
		}
	}
	if !isMethod(x.id) {
		return fmt.Errorf("the method %s() is not supported", x.id)
	}
	return nil
}

// bound lists the names that a piece of a file binds, in whatever function within it.
func bound(n node) []string {
	var out []string
	add := func(id string) {
		if id != "" {
			out = append(out, id)
		}
	}
	target := func(n node) {
		walk(n, func(n node) {
			if x, ok := n.(*name); ok {
				add(x.id)
			}
		})
	}
	params := func(list []param) {
		for _, p := range list {
			add(p.id)
		}
	}
	walk(n, func(n node) {
		switch x := n.(type) {
		case *block:
			params(x.params)
		case *definition:
			add(x.id)
			params(x.params)
		case *assignment:
			for _, t := range x.targets {
				target(t)
			}
		case *augmented:
			target(x.target)
		case *loop:
			target(x.target)
		case *comprehension:
			for _, k := range x.clauses {
				target(k.target)
			}
		case *assigned:
			add(x.id)
		case *imported:
			for _, pair := range x.from {
				add(pair[1])
			}
			if len(x.from) == 0 {
				add(x.as)
			}
		case *attempt:
			for _, h := range x.handlers {
				add(h.as)
			}
		}
	})
	return out
}

// walk visits a node and all below it.
func walk(n node, visit func(node)) {
	if n == nil {
		return
	}
	visit(n)
	for _, c := range children(n) {
		walk(c, visit)
	}
}

// children lists what stands directly below a node.
func children(n node) []node {
	switch x := n.(type) {
	case *block:
		return append(append(defaultsOf(x.params), x.body...), x.result)
	case *fstring:
		var out []node
		for _, p := range x.parts {
			out = append(out, p.value)
			if p.spec != nil {
				out = append(out, p.spec)
			}
		}
		return out
	case *display:
		return x.items
	case *dictDisplay:
		return append(append([]node{}, x.keys...), x.values...)
	case *comprehension:
		out := []node{x.key, x.value}
		for _, c := range x.clauses {
			out = append(append(out, c.target, c.over), c.conditions...)
		}
		return out
	case *unary:
		return []node{x.x}
	case *binary:
		return []node{x.a, x.b}
	case *logical:
		return []node{x.a, x.b}
	case *comparison:
		return append([]node{x.first}, x.rest...)
	case *conditional:
		return []node{x.cond, x.yes, x.no}
	case *call:
		return append(append([]node{x.fn}, x.args...), x.named...)
	case *attribute:
		return []node{x.x}
	case *subscript:
		return []node{x.x, x.index}
	case *slicing:
		return []node{x.low, x.high, x.step}
	case *starred:
		return []node{x.x}
	case *assigned:
		return []node{x.value}
	}
	return childrenOfStatement(n)
}

func childrenOfStatement(n node) []node {
	join := func(lists ...[]node) (out []node) {
		for _, l := range lists {
			out = append(out, l...)
		}
		return out
	}
	switch x := n.(type) {
	case *expression:
		return []node{x.x}
	case *assignment:
		return append(append([]node{}, x.targets...), x.value)
	case *augmented:
		return []node{x.target, x.value}
	case *definition:
		return append(append(defaultsOf(x.params), x.body...), x.result)
	case *returned:
		return []node{x.x}
	case *branch:
		return join([]node{x.cond}, x.yes, x.no)
	case *loop:
		return join([]node{x.target, x.over}, x.body, x.no)
	case *while:
		return join([]node{x.cond}, x.body)
	case *raised:
		return []node{x.x}
	case *asserted:
		return []node{x.cond, x.msg}
	case *attempt:
		out := join(x.body, x.no, x.end)
		for _, h := range x.handlers {
			out = append(out, h.body...)
		}
		return out
	case *deletion:
		return x.targets
	}
	return nil
}

func defaultsOf(params []param) []node {
	var out []node
	for _, p := range params {
		out = append(out, p.value)
	}
	return out
}
