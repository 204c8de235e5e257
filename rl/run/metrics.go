package run

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Metrics appends to metrics.jsonl.
type Metrics struct {
	file *appendFile
	now  func() time.Time
}

// Log writes one line: step, time, then the values by name, each with all the digits
// of its float64. JSON has no NaN: such a value is null and named in "notes". Each line
// is handed to the system whole before Log returns.
func (m *Metrics) Log(step int64, values map[string]float64) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"step":%d,"time":%q`, step, m.now().UTC().Format(time.RFC3339Nano))
	notes := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if name == "step" || name == "time" || name == "notes" || name == "" {
			return fmt.Errorf("metrics: %q is not free as a name", name)
		}
		key, err := json.Marshal(name)
		if err != nil {
			return fmt.Errorf("metrics: %q: %w", name, err)
		}
		x := values[name]
		text := []byte("null")
		if math.IsNaN(x) || math.IsInf(x, 0) {
			notes[name] = strconv.FormatFloat(x, 'g', -1, 64)
		} else if text, err = json.Marshal(x); err != nil {
			return fmt.Errorf("metrics: %q: %w", name, err)
		}
		fmt.Fprintf(&b, ",%s:%s", key, text)
	}
	if len(notes) > 0 {
		text, err := json.Marshal(notes)
		if err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
		fmt.Fprintf(&b, `,"notes":%s`, text)
	}
	b.WriteString("}\n")
	return m.file.write(b.Bytes())
}

// MetricsRecord is a line of metrics.jsonl.
type MetricsRecord struct {
	Step   int64
	Time   time.Time
	Values map[string]float64 // NaN and infinities restored
}

// ReadMetrics reads a metrics.jsonl whose steps ascend. A last line that was cut short, as a
// running or killed process may leave one, is dropped: cut tells.
func ReadMetrics(path string) (records []MetricsRecord, cut bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	last := int64(-1)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, fmt.Errorf("%s: line %d: %w", path, line, err)
		}
		atEnd := err != nil
		if len(bytes.TrimSpace(text)) > 0 {
			rec, err := parseMetrics(text)
			switch {
			case err != nil && atEnd:
				return records, true, nil // what was logged before is sound
			case err != nil:
				return nil, false, fmt.Errorf("%s: line %d: %w", path, line, err)
			case rec.Step < last:
				return nil, false, fmt.Errorf("%s: line %d: field %q: steps must ascend, got %d after %d",
					path, line, "step", rec.Step, last)
			}
			last = rec.Step
			records = append(records, rec)
		}
		if atEnd {
			return records, false, nil
		}
	}
}

// parseMetrics reads a line. What is no number, and no name of one that JSON cannot say, is passed
// over.
func parseMetrics(text []byte) (MetricsRecord, error) {
	rec := MetricsRecord{Values: map[string]float64{}}
	var line map[string]json.RawMessage
	if err := json.Unmarshal(text, &line); err != nil {
		return rec, fmt.Errorf("not a JSON object: %w", err)
	}
	step, ok := line["step"]
	if !ok || json.Unmarshal(step, &rec.Step) != nil || rec.Step < 0 {
		return rec, fmt.Errorf("field %q: want an integer >= 0, got %s", "step", cmp.Or(string(step), "nothing"))
	}
	var notes map[string]string
	for key, value := range line {
		switch key {
		case "step":
		case "time":
			_ = json.Unmarshal(value, &rec.Time) // for people
		case "notes":
			_ = json.Unmarshal(value, &notes)
		default:
			var x *float64
			if json.Unmarshal(value, &x) == nil && x != nil {
				rec.Values[key] = *x
			}
		}
	}
	for key, text := range notes {
		if x, err := strconv.ParseFloat(text, 64); err == nil {
			rec.Values[key] = x
		}
	}
	return rec, nil
}

func appendSamples(file *appendFile, records []any) error {
	if len(records) == 0 {
		return nil
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	for _, rec := range records {
		if err := enc.Encode(rec); err != nil {
			return fmt.Errorf("samples: %w", err)
		}
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("samples: %w", err)
	}
	defer z.Close()
	return file.write(z.EncodeAll(lines.Bytes(), nil))
}

// ReadSamples reads a samples.jsonl.zst, one record an item. An incomplete last frame
// is ignored.
func ReadSamples(path string) ([]json.RawMessage, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer z.Close()
	var out []json.RawMessage
	in := bufio.NewReader(z)
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if !json.Valid(text) {
			return nil, fmt.Errorf("%s: line %d: not JSON", path, line)
		}
		out = append(out, bytes.TrimSpace(text))
	}
}
