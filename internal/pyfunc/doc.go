// Package pyfunc runs the helper functions of benchmark tasks that are written in the plainest
// Python: they put texts together, choose among rows, and count. It is no Python. A file is read
// statement by statement; what is not understood is remembered under the names that it would define,
// and refused where a function uses it, before the function is run.
//
// Known are functions (nested, with defaults, lambda), if, for, while, try, comprehensions,
// f-strings, slices, texts, numbers, lists, tuples, dicts and sets with their usual methods, the
// built-in functions in builtins.go, and what modules.go has of re, ast, json, string, functools,
// itertools, copy and datasets. Values mean what they mean in Python: texts are counted in characters,
// dicts keep their order. Unknown are classes, with, yield, decorators, global state of others,
// the environment (os.getenv gives its default), files and random numbers.
//
//	m, err := pyfunc.Load("tasks/hellaswag/utils.py", "tasks")
//	f, err := m.Function("process_docs")   // refuses what it could not run
//	rows, err := f.Rows(rows)
//
// It imports jinja (the methods of texts), ordered, pyre and pystr.
package pyfunc
