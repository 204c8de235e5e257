package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounds on what a parquet file may claim about itself. The library believes footer and
// page headers and allocates what they say, so they are read here first, without
// allocating. Writers make pages of a megabyte or so.
const (
	maxParquetFooter   = 64 << 20  // bytes
	maxParquetElements = 1 << 20   // structs in the footer: columns times row groups, and some
	maxParquetPage     = 256 << 20 // bytes of a page, unpacked
)

var errParquetClaim = errors.New("the file claims more than it can hold")

// checkParquet walks the footer and all page headers of a file and refuses sizes that
// do not fit the file or the bounds.
func checkParquet(body []byte) error {
	if len(body) < 12 || !bytes.HasSuffix(body, []byte("PAR1")) {
		return fmt.Errorf("%w: it does not end in PAR1", io.ErrUnexpectedEOF)
	}
	n := int(binary.LittleEndian.Uint32(body[len(body)-8:]))
	if n > maxParquetFooter || n > len(body)-12 {
		return fmt.Errorf("%w: a footer of %d bytes in a file of %d", errParquetClaim, n, len(body))
	}
	var chunks []parquetChunk
	footer := compact{b: body[len(body)-8-n : len(body)-8]}
	err := footer.structure(0, func(path []int16, v int64) {
		if len(path) != 4 || path[0] != 4 || path[1] != 1 || path[2] != 3 { // row_groups.columns.meta_data
			return
		}
		if len(chunks) == 0 || path[3] <= chunks[len(chunks)-1].last { // fields ascend within a chunk
			chunks = append(chunks, parquetChunk{})
		}
		chunks[len(chunks)-1].set(path[3], v)
	})
	if err != nil {
		return fmt.Errorf("footer: %w", err)
	}
	for i, c := range chunks {
		if err := c.check(body); err != nil {
			return fmt.Errorf("column chunk %d: %w", i+1, err)
		}
	}
	return nil
}

// parquetChunk is what of a ColumnMetaData says where its pages are.
type parquetChunk struct {
	codec, values, packed, data, dictionary int64
	last                                    int16 // field that was set
}

func (c *parquetChunk) set(field int16, v int64) {
	c.last = field
	switch field {
	case 4:
		c.codec = v
	case 5:
		c.values = v
	case 7:
		c.packed = v
	case 9:
		c.data = v
	case 11:
		c.dictionary = v
	}
}

// check walks the pages of a chunk.
func (c parquetChunk) check(body []byte) error {
	begin := c.data
	if c.dictionary > 0 && c.dictionary < begin {
		begin = c.dictionary
	}
	size := int64(len(body))
	if c.values == 0 && (begin < 4 || begin > size || c.packed < 0 || c.packed > size-begin) {
		return nil // a file without rows may say anything about where they are
	}
	if begin < 4 || begin > size || c.packed < 0 || c.packed > size-begin {
		return fmt.Errorf("%w: pages from byte %d, %d bytes long, in a file of %d", errParquetClaim, begin, c.packed,
			size)
	}
	if c.values < 0 || c.values > 64*MaxRows {
		return fmt.Errorf("%w: %d values", errParquetClaim, c.values)
	}
	pages, values := body[begin:begin+c.packed], int64(0)
	for at := 0; at < len(pages); {
		var h parquetPage
		head := compact{b: pages, at: at}
		if err := head.structure(0, h.set); err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		if err := h.check(pages[head.at:], c.codec); err != nil {
			return err
		}
		if h.data {
			values += h.values
		}
		at = head.at + int(h.packed)
	}
	if values != c.values {
		return fmt.Errorf("%w: pages of %d values in a column chunk of %d", errParquetClaim, values, c.values)
	}
	return nil
}

// parquetPage is what a PageHeader says about sizes.
type parquetPage struct {
	unpacked, packed, values, levels int64
	data                             bool // not a dictionary
	plain                            bool // a page of the second version that is not packed
}

func (h *parquetPage) set(path []int16, v int64) {
	switch {
	case len(path) == 1 && path[0] == 2:
		h.unpacked = v
	case len(path) == 1 && path[0] == 3:
		h.packed = v
	case len(path) == 2 && (path[0] == 5 || path[0] == 7 || path[0] == 8) && path[1] == 1:
		h.values, h.data = v, path[0] != 7
	case len(path) == 2 && path[0] == 8 && (path[1] == 5 || path[1] == 6):
		h.levels += v
	case len(path) == 2 && path[0] == 8 && path[1] == 7:
		h.plain = v == 0
	}
}

func (h parquetPage) check(rest []byte, codec int64) error {
	switch {
	case h.packed < 0 || h.packed > int64(len(rest)):
		return fmt.Errorf("%w: a page of %d bytes where %d are left", errParquetClaim, h.packed, len(rest))
	case h.unpacked < 0 || h.unpacked > maxParquetPage:
		return fmt.Errorf("%w: a page that unpacks to %d bytes, at most %d are read", errParquetClaim, h.unpacked,
			maxParquetPage)
	case h.values < 0 || h.values > MaxRows:
		return fmt.Errorf("%w: a page of %d values, at most %d are read", errParquetClaim, h.values, MaxRows)
	case h.levels < 0 || h.levels > h.packed || h.levels > h.unpacked:
		return fmt.Errorf("%w: %d bytes of levels in a page of %d", errParquetClaim, h.levels, h.packed)
	case h.plain:
		return nil
	}
	return unpacksTo(rest[h.levels:h.packed], codec, h.unpacked-h.levels)
}

// unpacksTo checks that packed bytes unpack to no more than a page header says. (Brotli
// and LZ4 blocks are left to the library.)
func unpacksTo(packed []byte, codec, most int64) error {
	const snappyCodec, gzipCodec, zstdCodec = 1, 2, 6
	var r io.Reader
	switch codec {
	case snappyCodec:
		if n, k := binary.Uvarint(packed); len(packed) > 0 && (k <= 0 || n > uint64(most)) {
			return fmt.Errorf("%w: a page unpacks to %d bytes, its header says %d", errParquetClaim, n, most)
		}
		return nil
	case gzipCodec:
		z, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return nil // the library says what is wrong
		}
		r = z
	case zstdCodec:
		z, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxMemory(1<<28))
		if err != nil {
			return nil
		}
		defer z.Close()
		r = z
	default:
		return nil
	}
	if n, _ := io.CopyN(io.Discard, r, most+1); n > most {
		return fmt.Errorf("%w: a page unpacks to more than the %d bytes that its header says", errParquetClaim, most)
	}
	return nil
}

// compact reads Thrift's compact protocol, in which parquet writes footer and page
// headers, and allocates nothing that the bytes ask for.
type compact struct {
	b        []byte
	at       int
	elements int
}

func (c *compact) byte() (byte, error) {
	if c.at >= len(c.b) {
		return 0, io.ErrUnexpectedEOF
	}
	c.at++
	return c.b[c.at-1], nil
}

func (c *compact) varint() (uint64, error) {
	v, n := binary.Uvarint(c.b[c.at:])
	if n <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	c.at += n
	return v, nil
}

func (c *compact) zigzag() (int64, error) {
	v, err := c.varint()
	return int64(v>>1) ^ -int64(v&1), err
}

// skip passes over n bytes.
func (c *compact) skip(n uint64) error {
	if n > uint64(len(c.b)-c.at) {
		return fmt.Errorf("%w: %d bytes where %d are left", errParquetClaim, n, len(c.b)-c.at)
	}
	c.at += int(n)
	return nil
}

// The types of the compact protocol.
const (
	compactTrue, compactFalse                = 1, 2
	compactI8, compactI16, compactI32        = 3, 4, 5
	compactI64, compactDouble, compactBinary = 6, 7, 8
	compactList, compactSet, compactMap      = 9, 10, 11
	compactStruct, compactUUID, compactDepth = 12, 13, 32
)

// structure reads a struct and calls seen with the field numbers on the way to every
// number in it, and its value.
func (c *compact) structure(depth int, seen func(path []int16, v int64)) error {
	return c.fields(nil, depth, seen)
}

func (c *compact) fields(path []int16, depth int, seen func([]int16, int64)) error {
	if depth > compactDepth {
		return fmt.Errorf("%w: nested too deep", errParquetClaim)
	}
	if c.elements++; c.elements > maxParquetElements {
		return fmt.Errorf("%w: more than %d elements", errParquetClaim, maxParquetElements)
	}
	path = append(path, 0)
	for {
		head, err := c.byte()
		if err != nil {
			return err
		}
		if head == 0 {
			return nil
		}
		if delta := int16(head >> 4); delta > 0 {
			path[len(path)-1] += delta
		} else {
			id, err := c.zigzag()
			if err != nil {
				return err
			}
			path[len(path)-1] = int16(id)
		}
		if err := c.value(head&15, path, depth, seen, false); err != nil {
			return err
		}
	}
}

func (c *compact) value(kind byte, path []int16, depth int, seen func([]int16, int64), inList bool) error {
	switch kind {
	case compactTrue, compactFalse:
		if inList {
			return c.skip(1)
		}
		seen(path, int64(compactFalse-kind))
		return nil
	case compactI8:
		return c.skip(1)
	case compactI16, compactI32, compactI64:
		v, err := c.zigzag()
		if err == nil && !inList {
			seen(path, v)
		}
		return err
	case compactDouble:
		return c.skip(8)
	case compactUUID:
		return c.skip(16)
	case compactBinary:
		n, err := c.varint()
		if err != nil {
			return err
		}
		return c.skip(n)
	case compactList, compactSet:
		return c.list(path, depth, seen)
	case compactStruct:
		return c.fields(path, depth+1, seen)
	}
	return fmt.Errorf("%w: an unknown type %d", errParquetClaim, kind)
}

func (c *compact) list(path []int16, depth int, seen func([]int16, int64)) error {
	head, err := c.byte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = c.varint(); err != nil {
			return err
		}
	}
	if n > uint64(len(c.b)-c.at) || depth > compactDepth {
		return fmt.Errorf("%w: a list of %d elements in %d bytes", errParquetClaim, n, len(c.b)-c.at)
	}
	if c.elements += int(n); c.elements > maxParquetElements {
		return fmt.Errorf("%w: more than %d elements", errParquetClaim, maxParquetElements)
	}
	for range n {
		if err := c.value(head&15, path, depth+1, seen, true); err != nil {
			return err
		}
	}
	return nil
}
