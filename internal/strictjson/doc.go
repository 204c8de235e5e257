// Package strictjson reads JSON that others wrote without guessing: keys match exactly,
// a key that is given twice is refused, so is half of a surrogate pair (which the
// standard library turns into U+FFFD), whole numbers stay whole, objects keep their
// order. Its errors name the field and say in plain words what is wrong with the text.
//
// Lexer, parser and the filling of structs are those of encoding/json/v2's module.
//
// It may import internal/ordered, for objects. rl/data reads data sets with it, ggml/adapter the files of
// PEFT, app/chat, app/jsonlines and app/score what they are given. YAML is internal/conf's.
package strictjson
