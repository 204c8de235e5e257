// Package jinja renders Jinja templates with the meaning that Python's Jinja gives them, or
// refuses, and tells what in a rendering is from where.
//
// Two kinds of templates are rendered. [Compile] is for benchmark tasks and strict: a prompt that
// differs in one character is another benchmark, so an undefined name, a missing field or an index
// out of range are errors with line and column. [CompileChat] is for chat templates and does what
// transformers' apply_chat_template does, exactly: trim_blocks, lstrip_blocks, loop controls,
// raise_exception, strftime_now, tojson, {% generation %}, undefined names that print as nothing.
// Its goldens are testdata/golden/chat.
//
// Lexer and parser (lex.go, parse.go) follow Jinja's own grammar (jinja2/lexer.py and parser.py of
// 3.1). Known: {{ }}, set (names, attributes of a namespace, blocks), if, for (with if, else, loop),
// macro, call, filter, with, raw, comments, white space control; all expressions; the filters, tests,
// methods and functions in filters.go, tests.go, methods.go and globals.go. Refused: what needs
// other templates (extends, include, import, block), recursive loops, format specifications, methods
// that change a list or dict. A rendering of more than five million steps or 16 MiB ends with an
// error.
//
// Values are given as nil, bool, int, float64, string, []any and *ordered.Map: a dict iterates and
// prints in the order of the file that it is from. A [Text] is a string with a source, and a [Data]
// a value all of whose strings are from one source. Inside, every string is runs of sources
// (text.go), through trim, +, ~, replace, slices, split, join, tojson and the rest, so that
// [Template.Pieces] can tell the template's own text from what it was given.
//
//	t, err := jinja.Compile("{{ question|trim }}\nAnswer:")
//	prompt, err := t.Render(map[string]any{"question": "Why? "})
//
// It imports ordered and pystr only. The templates of tasks are read by eval/task, chat templates by rl/data.
package jinja
