package cgo

// #include "steer.h"
import "C"

import "fmt"

// Quantize stores rows of nPerRow values as ggml type typ (the number that GGUF files
// use), as ggml's own quantizer does without an importance matrix. It is an error if
// a row is not whole blocks or a value is not finite. Safe for concurrent use.
func Quantize(typ uint32, src []float32, nPerRow int) ([]byte, error) {
	rows, err := wholeRows(len(src), nPerRow)
	if err != nil {
		return nil, err
	}
	dst := make([]byte, rows*int(C.steer_row_bytes(C.int(typ), C.int64_t(nPerRow))))
	err = call(func(e *C.char, n C.size_t) C.int {
		return C.steer_quantize(C.int(typ), (*C.float)(ptr(src)), C.int64_t(rows), C.int64_t(nPerRow), ptr(dst),
			C.size_t(len(dst)), e, n)
	})
	if err != nil {
		return nil, fmt.Errorf("quantize: %w", err)
	}
	return dst, nil
}

// Dequantize reads rows of nPerRow values stored as ggml type typ. Safe for
// concurrent use.
func Dequantize(typ uint32, src []byte, rows, nPerRow int) ([]float32, error) {
	dst := make([]float32, max(0, rows*nPerRow))
	err := call(func(e *C.char, n C.size_t) C.int {
		return C.steer_dequantize(C.int(typ), ptr(src), C.size_t(len(src)), (*C.float)(ptr(dst)), C.int64_t(rows),
			C.int64_t(nPerRow), e, n)
	})
	if err != nil {
		return nil, fmt.Errorf("dequantize: %w", err)
	}
	return dst, nil
}

func wholeRows(n, nPerRow int) (rows int, err error) {
	if nPerRow < 1 || n == 0 || n%nPerRow != 0 {
		return 0, fmt.Errorf("quantize: %d values are no whole rows of %d", n, nPerRow)
	}
	return n / nPerRow, nil
}
