package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// value reads a metadata value with its type in front.
func (r *reader) value() (value, error) {
	t, err := r.uint32()
	if err != nil {
		return value{}, fmt.Errorf("type: %w", err)
	}
	typ := ValueType(t)
	if typ != ValueArray {
		v, err := r.slice(typ, 1)
		if err != nil {
			return value{}, err
		}
		return value{typ: typ, v: first(v)}, nil
	}
	e, err := r.uint32()
	if err != nil {
		return value{}, fmt.Errorf("array: element type: %w", err)
	}
	elem := ValueType(e)
	if elem == ValueArray {
		return value{}, fmt.Errorf("array of arrays: ggml reads none: %w", ErrFormat)
	}
	n, err := r.uint64()
	if err != nil {
		return value{}, fmt.Errorf("array: length: %w", err)
	}
	v, err := r.slice(elem, n)
	if err != nil {
		return value{}, fmt.Errorf("array of %d %s: %w", n, elem, err)
	}
	return value{typ: ValueArray, elem: elem, v: v}, nil
}

// slice reads n values of one type into a slice of the Go type.
func (r *reader) slice(t ValueType, n uint64) (any, error) {
	if int(t) >= len(valueSizes) {
		return nil, fmt.Errorf("unknown %s: %w", t, ErrFormat)
	}
	if t == ValueString {
		return r.strings(n)
	}
	size := uint64(valueSizes[t])
	if n > uint64(r.left())/size {
		return nil, fmt.Errorf("wants %d values of %d bytes at byte %d, the file has %d bytes left: %w", n, size, r.pos,
			r.left(), ErrTruncated)
	}
	p := make([]byte, n*size)
	if err := r.read(p); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	switch t {
	case ValueUint8:
		return p, nil
	case ValueInt8:
		return decode(p, 1, func(b []byte) int8 { return int8(b[0]) }), nil
	case ValueBool:
		for i, b := range p {
			if b > 1 {
				return nil, fmt.Errorf("bool %d is %d, want 0 or 1: %w", i, b, ErrFormat)
			}
		}
		return decode(p, 1, func(b []byte) bool { return b[0] == 1 }), nil
	case ValueUint16:
		return decode(p, 2, le.Uint16), nil
	case ValueInt16:
		return decode(p, 2, func(b []byte) int16 { return int16(le.Uint16(b)) }), nil
	case ValueUint32:
		return decode(p, 4, le.Uint32), nil
	case ValueInt32:
		return decode(p, 4, func(b []byte) int32 { return int32(le.Uint32(b)) }), nil
	case ValueFloat32:
		return decode(p, 4, func(b []byte) float32 { return math.Float32frombits(le.Uint32(b)) }), nil
	case ValueUint64:
		return decode(p, 8, le.Uint64), nil
	case ValueInt64:
		return decode(p, 8, func(b []byte) int64 { return int64(le.Uint64(b)) }), nil
	default: // ValueFloat64: strings and arrays do not get here
		return decode(p, 8, func(b []byte) float64 { return math.Float64frombits(le.Uint64(b)) }), nil
	}
}

func (r *reader) strings(n uint64) ([]string, error) {
	// Every string takes at least the 8 bytes of its length.
	if n > uint64(r.left())/8 {
		return nil, fmt.Errorf("wants %d strings at byte %d, the file has %d bytes left: %w", n, r.pos, r.left(),
			ErrTruncated)
	}
	out := make([]string, n)
	for i := range out {
		s, err := r.string(0)
		if err != nil {
			return nil, fmt.Errorf("string %d: %w", i, err)
		}
		out[i] = s
	}
	return out, nil
}

func decode[T any](p []byte, size int, get func([]byte) T) []T {
	out := make([]T, len(p)/size)
	for i := range out {
		out[i] = get(p[i*size:])
	}
	return out
}

// first returns the only element of a slice made by reader.slice.
func first(s any) any {
	switch x := s.(type) {
	case []uint8:
		return x[0]
	case []int8:
		return x[0]
	case []bool:
		return x[0]
	case []uint16:
		return x[0]
	case []int16:
		return x[0]
	case []uint32:
		return x[0]
	case []int32:
		return x[0]
	case []float32:
		return x[0]
	case []uint64:
		return x[0]
	case []int64:
		return x[0]
	case []float64:
		return x[0]
	case []string:
		return x[0]
	}
	return nil
}
