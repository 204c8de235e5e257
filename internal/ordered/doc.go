// Package ordered holds a map that keeps its order: what a JSON or YAML object is to
// Python, whose dicts iterate in the order of the file.
//
// It imports nothing of this module. internal/strictjson reads into it, internal/jinja renders it,
// rl/data and eval/task hand rows over in it.
package ordered
