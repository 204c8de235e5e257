package jinja

// expr is an expression.
type expr interface{ at() pos }

func (p pos) at() pos { return p }

// The expressions, as Jinja's grammar has them.
type (
	constExpr struct {
		pos
		v any // nil, bool, int, float64 or text
	}
	nameExpr struct {
		pos
		name string
	}
	listExpr struct {
		pos
		elements []expr
	}
	tupleExpr struct {
		pos
		elements []expr
	}
	dictExpr struct {
		pos
		keys, values []expr
	}
	// attributeExpr is on.name.
	attributeExpr struct {
		pos
		on   expr
		name string
	}
	// indexExpr is on[index].
	indexExpr struct {
		pos
		on, index expr
	}
	// sliceExpr is what stands in on[start:end:step]; a part that is not given is nil.
	sliceExpr struct {
		pos
		start, end, step expr
	}
	callExpr struct {
		pos
		f    expr
		args arguments
	}
	filterExpr struct {
		pos
		on   expr // nil in {% filter %} and {% set %} blocks: the text of the block
		name string
		args arguments
	}
	testExpr struct {
		pos
		on   expr
		name string
		args arguments
	}
	notExpr struct {
		pos
		on expr
	}
	signExpr struct {
		pos
		on    expr
		minus bool
	}
	// binaryExpr is an operator of arithmetic.
	binaryExpr struct {
		pos
		op          kind
		left, right expr
	}
	// concatExpr is a ~ b ~ c.
	concatExpr struct {
		pos
		parts []expr
	}
	// compareExpr is a < b < c; the operators are those of comparison, "in" and "not in".
	compareExpr struct {
		pos
		first expr
		ops   []kind
		rest  []expr
	}
	// logicExpr is "and", or "or".
	logicExpr struct {
		pos
		or          bool
		left, right expr
	}
	// condExpr is "value if condition else otherwise"; otherwise may be nil.
	condExpr struct {
		pos
		condition, value, otherwise expr
	}
	// attributeOf is the target of {% set name.attribute = value %}.
	attributeOf struct {
		pos
		name, attribute string
	}
)

// arguments of a call, filter or test: f(args, names=named, *star, **stars).
type arguments struct {
	args        []expr
	names       []string
	named       []expr
	star, stars expr
}

// statement is a piece of a template.
type statement interface {
	run(*machine, *scope) error
}

// The statements.
type (
	dataStatement   struct{ text }
	outputStatement struct{ value expr }
	// ifStatement: branch i runs under condition i, one more branch is else.
	ifStatement struct {
		conditions []expr
		branches   [][]statement
	}
	// forStatement: target is a nameExpr or a tupleExpr of them.
	forStatement struct {
		pos
		target      expr
		over, where expr
		body, empty []statement
	}
	setStatement struct {
		pos
		target, value expr
	}
	// setBlock is {% set name | filter %}text{% endset %}.
	setBlock struct {
		pos
		target expr
		filter *filterExpr // may be nil
		body   []statement
	}
	macroStatement struct {
		pos
		name string
		*signature
		body []statement
	}
	// callBlock is {% call(parameters) macro(...) %}.
	callBlock struct {
		pos
		*signature
		call *callExpr
		body []statement
	}
	filterBlock struct {
		pos
		filter *filterExpr
		body   []statement
	}
	withStatement struct {
		pos
		targets, values []expr
		body            []statement
	}
	// leaveStatement is {% break %}, or {% continue %}.
	leaveStatement struct {
		pos
		again bool
	}
	// generationStatement is {% generation %}: what it writes is the model's answer.
	generationStatement struct{ body []statement }
)

// signature lists the parameters of a macro; the last of them have defaults.
type signature struct {
	names           []string
	defaults        []expr
	varargs, kwargs bool // the body mentions them: it takes more arguments
}
