package gguf

import (
	"fmt"
	"math"
)

// Type is the storage type of a tensor, numbered as ggml's enum ggml_type.
type Type uint32

// The tensor types of ggml. Numbers that are missing were withdrawn upstream.
const (
	TypeF32    Type = 0
	TypeF16    Type = 1
	TypeQ4_0   Type = 2
	TypeQ4_1   Type = 3
	TypeQ5_0   Type = 6
	TypeQ5_1   Type = 7
	TypeQ8_0   Type = 8
	TypeQ8_1   Type = 9
	TypeQ2K    Type = 10
	TypeQ3K    Type = 11
	TypeQ4K    Type = 12
	TypeQ5K    Type = 13
	TypeQ6K    Type = 14
	TypeQ8K    Type = 15
	TypeIQ2XXS Type = 16
	TypeIQ2XS  Type = 17
	TypeIQ3XXS Type = 18
	TypeIQ1S   Type = 19
	TypeIQ4NL  Type = 20
	TypeIQ3S   Type = 21
	TypeIQ2S   Type = 22
	TypeIQ4XS  Type = 23
	TypeI8     Type = 24
	TypeI16    Type = 25
	TypeI32    Type = 26
	TypeI64    Type = 27
	TypeF64    Type = 28
	TypeIQ1M   Type = 29
	TypeBF16   Type = 30
	TypeTQ1_0  Type = 34
	TypeTQ2_0  Type = 35
	TypeMXFP4  Type = 39
)

// layout is how a type lays its elements out: block elements share size bytes.
type layout struct {
	name  string
	block int64 // elements
	size  int64 // bytes
}

// layouts holds the block sizes of ggml-common.h (static_assert(sizeof(block_...))).
var layouts = map[Type]layout{
	TypeF32:    {"F32", 1, 4},
	TypeF16:    {"F16", 1, 2},
	TypeBF16:   {"BF16", 1, 2},
	TypeF64:    {"F64", 1, 8},
	TypeI8:     {"I8", 1, 1},
	TypeI16:    {"I16", 1, 2},
	TypeI32:    {"I32", 1, 4},
	TypeI64:    {"I64", 1, 8},
	TypeQ4_0:   {"Q4_0", 32, 18},
	TypeQ4_1:   {"Q4_1", 32, 20},
	TypeQ5_0:   {"Q5_0", 32, 22},
	TypeQ5_1:   {"Q5_1", 32, 24},
	TypeQ8_0:   {"Q8_0", 32, 34},
	TypeQ8_1:   {"Q8_1", 32, 36},
	TypeQ2K:    {"Q2_K", 256, 84},
	TypeQ3K:    {"Q3_K", 256, 110},
	TypeQ4K:    {"Q4_K", 256, 144},
	TypeQ5K:    {"Q5_K", 256, 176},
	TypeQ6K:    {"Q6_K", 256, 210},
	TypeQ8K:    {"Q8_K", 256, 292},
	TypeIQ2XXS: {"IQ2_XXS", 256, 66},
	TypeIQ2XS:  {"IQ2_XS", 256, 74},
	TypeIQ2S:   {"IQ2_S", 256, 82},
	TypeIQ3XXS: {"IQ3_XXS", 256, 98},
	TypeIQ3S:   {"IQ3_S", 256, 110},
	TypeIQ1S:   {"IQ1_S", 256, 50},
	TypeIQ1M:   {"IQ1_M", 256, 56},
	TypeIQ4NL:  {"IQ4_NL", 32, 18},
	TypeIQ4XS:  {"IQ4_XS", 256, 136},
	TypeTQ1_0:  {"TQ1_0", 256, 54},
	TypeTQ2_0:  {"TQ2_0", 256, 66},
	TypeMXFP4:  {"MXFP4", 32, 17},
}

// String returns ggml's name of the type, such as "Q4_K".
func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Block returns how many elements share how many bytes; both are 0 for a type
// this package does not know.
func (t Type) Block() (elements, bytes int) {
	l := layouts[t]
	return int(l.block), int(l.size)
}

// sizeOf returns the elements and bytes of a tensor. It is an error if a
// dimension is not positive, a product does not fit in 63 bits, or a row (Dims[0])
// is not whole blocks.
func sizeOf(t Type, dims []int64) (elements, bytes int64, err error) {
	l, ok := layouts[t]
	if !ok {
		return 0, 0, fmt.Errorf("tensor type %d is not known: update this program, or convert the model to a known "+
			"type such as Q4_K or F16", uint32(t))
	}
	elements = 1
	for i, d := range dims {
		if d <= 0 {
			return 0, 0, fmt.Errorf("dimension %d is %d: want at least 1", i, d)
		}
		if elements > math.MaxInt64/d {
			return 0, 0, fmt.Errorf("dimensions %v: the number of elements overflows", dims)
		}
		elements *= d
	}
	row := int64(1)
	if len(dims) > 0 {
		row = dims[0]
	}
	if row%l.block != 0 {
		return 0, 0, fmt.Errorf("%s rows of %d elements: want a multiple of the block size %d", l.name, row, l.block)
	}
	blocks := elements / l.block
	if blocks > math.MaxInt64/l.size {
		return 0, 0, fmt.Errorf("dimensions %v: the size in bytes overflows", dims)
	}
	return elements, blocks * l.size, nil
}

// ValueType is the type of a metadata value, numbered as enum gguf_type.
type ValueType uint32

// The metadata types of GGUF.
const (
	ValueUint8 ValueType = iota
	ValueInt8
	ValueUint16
	ValueInt16
	ValueUint32
	ValueInt32
	ValueFloat32
	ValueBool
	ValueString
	ValueArray
	ValueUint64
	ValueInt64
	ValueFloat64
)

var valueNames = [...]string{
	"uint8", "int8", "uint16", "int16", "uint32", "int32", "float32",
	"bool", "string", "array", "uint64", "int64", "float64",
}

// valueSizes holds the bytes of a fixed-size value; 0 for strings and arrays.
var valueSizes = [...]int64{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}

// String returns the type's name, such as "uint32".
func (t ValueType) String() string {
	if int(t) < len(valueNames) {
		return valueNames[t]
	}
	return fmt.Sprintf("value type %d", uint32(t))
}
