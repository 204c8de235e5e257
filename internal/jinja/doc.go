// Package jinja renders the Jinja templates of benchmark tasks with the meaning that
// Python's Jinja gives them, or refuses.
//
// Lexer and parser are gonja's. Its evaluator and built-ins are not used: a prompt that
// differs in one character is another benchmark, and there a text is indexed by bytes,
// str.rstrip() fails, None prints as nothing, True is not 1 and an undefined element of
// a list goes unnoticed. What is here is strict instead: an undefined name, a missing
// field, an index out of range, a filter, test or method that is not in the list below,
// operands that Python would not take, are errors with the line of the template.
//
// Known: {{ }}, {% set %}, {% if %} with elif and else, {% for %} with if and else and
// loop, comments, white space control; text, numbers, lists, tuples, dicts, slices,
// "a if c else b" as a whole {{ }} or {% set %}; all operators of Jinja but "%" on text;
// the filters, tests and methods in filters.go, tests.go and methods.go; range().
// Values are nil, bool, int, float64, string, []any and *ordered.Map:
// a dict iterates and prints in the order of the file that it is from.
//
//	t, err := jinja.Compile("{{ question|trim }}\nAnswer:")
//	prompt, err := t.Render(map[string]any{"question": "Why? "})
//
// It may import internal/ordered and internal/pystr. eval/task renders tasks with it; the templates of chats are
// rl/data's, which are not Jinja.
package jinja
