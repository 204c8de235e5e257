package gguf

import (
	"fmt"
	"math"
)

// value is one metadata value: v holds the Go type of typ, or for arrays a slice
// of the Go type of elem.
type value struct {
	typ  ValueType
	elem ValueType
	v    any
}

func (v value) describe() string {
	if v.typ == ValueArray {
		return "array of " + v.elem.String()
	}
	return v.typ.String()
}

// Keys returns the metadata keys in file order. The caller must not change it.
func (f *File) Keys() []string { return f.keys }

// Has says whether the metadata has the key.
func (f *File) Has(key string) bool {
	_, ok := f.values[key]
	return ok
}

// Value returns a metadata value as the Go type it is stored in (uint32, string,
// []float32, ...), or nil if there is no such key.
func (f *File) Value(key string) any { return f.values[key].v }

// TypeOf describes the stored type of a key, such as "uint32" or "array of
// string"; "" if there is no such key.
func (f *File) TypeOf(key string) string {
	v, ok := f.values[key]
	if !ok {
		return ""
	}
	return v.describe()
}

func (f *File) lookup(key string) (value, error) {
	v, ok := f.values[key]
	if !ok {
		return value{}, fmt.Errorf("gguf: %s: key %q: %w", f.name, key, ErrNoKey)
	}
	return v, nil
}

func (f *File) wrongType(key, want string, v value) error {
	return fmt.Errorf("gguf: %s: key %q: want %s, got %s: %w", f.name, key, want, v.describe(), ErrKeyType)
}

// Uint32 returns an integer of any stored width; one that is negative or does not
// fit is an error.
func (f *File) Uint32(key string) (uint32, error) {
	u, err := f.Uint64(key)
	if err != nil {
		return 0, err
	}
	if u > math.MaxUint32 {
		return 0, fmt.Errorf("gguf: %s: key %q: %d does not fit in 32 bits", f.name, key, u)
	}
	return uint32(u), nil
}

// Uint64 returns an integer of any stored width; a negative one is an error.
func (f *File) Uint64(key string) (uint64, error) {
	v, err := f.lookup(key)
	if err != nil {
		return 0, err
	}
	var s int64
	switch x := v.v.(type) {
	case uint8:
		return uint64(x), nil
	case uint16:
		return uint64(x), nil
	case uint32:
		return uint64(x), nil
	case uint64:
		return x, nil
	case int8:
		s = int64(x)
	case int16:
		s = int64(x)
	case int32:
		s = int64(x)
	case int64:
		s = x
	default:
		return 0, f.wrongType(key, "an integer", v)
	}
	if s < 0 {
		return 0, fmt.Errorf("gguf: %s: key %q: want 0 or more, got %d", f.name, key, s)
	}
	return uint64(s), nil
}

// Float32 returns a float32, or a float64 rounded to one.
func (f *File) Float32(key string) (float32, error) {
	v, err := f.lookup(key)
	if err != nil {
		return 0, err
	}
	switch x := v.v.(type) {
	case float32:
		return x, nil
	case float64:
		return float32(x), nil
	}
	return 0, f.wrongType(key, "float32", v)
}

// Bool returns a bool.
func (f *File) Bool(key string) (bool, error) { return get[bool](f, key, "bool") }

// String returns a string.
func (f *File) String(key string) (string, error) { return get[string](f, key, "string") }

// Strings returns an array of strings. The caller must not change it.
func (f *File) Strings(key string) ([]string, error) {
	return get[[]string](f, key, "array of string")
}

// Float32s returns an array of float32. The caller must not change it.
func (f *File) Float32s(key string) ([]float32, error) {
	return get[[]float32](f, key, "array of float32")
}

// Int32s returns an array of int32. The caller must not change it.
func (f *File) Int32s(key string) ([]int32, error) {
	return get[[]int32](f, key, "array of int32")
}

// Uint32s returns an array of uint32. The caller must not change it.
func (f *File) Uint32s(key string) ([]uint32, error) {
	return get[[]uint32](f, key, "array of uint32")
}

func get[T any](f *File, key, want string) (T, error) {
	var zero T
	v, err := f.lookup(key)
	if err != nil {
		return zero, err
	}
	x, ok := v.v.(T)
	if !ok {
		return zero, f.wrongType(key, want, v)
	}
	return x, nil
}
