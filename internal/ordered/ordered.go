package ordered

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Map is a map from text to values that iterates in the order in which keys were first
// set. The nil map is empty and cannot be written to.
type Map struct {
	keys   []string
	values map[string]any
}

// New gives an empty map with room for n keys.
func New(n int) *Map { return &Map{keys: make([]string, 0, n), values: make(map[string]any, n)} }

// Of gives a map of keys and values in turn. It panics on a key that is no text: it is
// for literals.
func Of(keysAndValues ...any) *Map {
	m := New(len(keysAndValues) / 2)
	for i := 0; i < len(keysAndValues); i += 2 {
		m.Set(keysAndValues[i].(string), keysAndValues[i+1])
	}
	return m
}

// Set sets the value of a key; a key that is there keeps its place.
func (m *Map) Set(key string, value any) {
	if _, there := m.values[key]; !there {
		m.keys = append(m.keys, key)
	}
	m.values[key] = value
}

// Get gives the value of a key and whether it is there.
func (m *Map) Get(key string) (any, bool) {
	if m == nil {
		return nil, false
	}
	v, ok := m.values[key]
	return v, ok
}

// Len is the number of keys.
func (m *Map) Len() int {
	if m == nil {
		return 0
	}
	return len(m.keys)
}

// Keys lists the keys in order.
func (m *Map) Keys() []string {
	if m == nil {
		return nil
	}
	return slices.Clone(m.keys)
}

// All iterates over keys and values in order.
func (m *Map) All() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		if m == nil {
			return
		}
		for _, k := range m.keys {
			if !yield(k, m.values[k]) {
				return
			}
		}
	}
}

// Equal tells whether two maps hold the same keys with values that same holds equal, in
// any order, as Python compares dicts.
func Equal(a, b *Map, same func(x, y any) bool) bool {
	if a.Len() != b.Len() {
		return false
	}
	for k, v := range a.All() {
		if w, ok := b.Get(k); !ok || !same(v, w) {
			return false
		}
	}
	return true
}

// String shows keys and values in order, for messages.
func (m *Map) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for k, v := range m.All() {
		if b.Len() > 1 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s: %v", k, v)
	}
	return b.String() + "}"
}
