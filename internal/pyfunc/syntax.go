package pyfunc

// The tree of a file. A node is an expression or a statement.
type node interface{}

type (
	constant struct{ value any }
	name     struct {
		id   string
		line int
	}
	// fstring is pieces of text and expressions.
	fstring struct{ parts []fpart }
	fpart   struct {
		text    string
		value   node // nil of a text
		convert string
		spec    *fstring
	}
	// display is a list, tuple or set that is written out.
	display struct {
		kind  string // "[", "(" or "{"
		items []node
	}
	dictDisplay struct{ keys, values []node } // a key is nil where ** stands
	// comprehension is one of any kind: "[", "(" (a generator), "{" or "{:" (a dict).
	comprehension struct {
		kind       string
		key, value node
		clauses    []clause
	}
	clause struct {
		target, over node
		conditions   []node
	}
	unary struct {
		op string
		x  node
	}
	binary struct {
		op   string
		a, b node
		line int
	}
	logical struct {
		op   string // and, or
		a, b node
	}
	comparison struct {
		first node
		ops   []string
		rest  []node
		line  int
	}
	conditional struct{ cond, yes, no node }
	call        struct {
		fn    node
		args  []node
		names []string // of the arguments by name; "**" spreads a dict
		named []node
		line  int
	}
	attribute struct {
		x    node
		id   string
		line int
	}
	subscript struct {
		x, index node
		line     int
	}
	slicing  struct{ low, high, step node }
	starred  struct{ x node }
	assigned struct { // name := value
		id    string
		value node
	}
)

type (
	expression struct{ x node }
	assignment struct {
		targets []node
		value   node
		line    int
	}
	augmented struct {
		target, value node
		op            string
		line          int
	}
	definition struct {
		id     string // "" of a lambda
		params []param
		body   []node
		result node // of a lambda
		line   int
	}
	param struct {
		id     string
		value  node   // the default, nil without
		star   string // "*" or "**"
		byName bool
	}
	returned struct{ x node }
	branch   struct {
		cond    node
		yes, no []node
	}
	loop struct {
		target, over node
		body, no     []node
		line         int
	}
	while struct {
		cond node
		body []node
		line int
	}
	jump     struct{ word string } // break, continue, pass
	imported struct {
		module string
		as     string
		from   [][2]string // names and what they are called here
		line   int
	}
	raised struct {
		x    node
		line int
	}
	asserted struct {
		cond, msg node
		line      int
	}
	attempt struct {
		body     []node
		handlers []handler
		no, end  []node
	}
	handler struct {
		kinds []string // none: all
		as    string
		body  []node
	}
	deletion struct {
		targets []node
		line    int
	}
	declared struct{ ids []string } // global, nonlocal
	// unreadable is a statement of a file that was not understood.
	unreadable struct {
		ids []string
		err error
	}
)
