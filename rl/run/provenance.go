package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
)

// Provenance says how a benchmark was measured: by which prompts, with which statistics, and what
// else a benchmark has to say. In the file it is one object of names and values.
type Provenance struct {
	// Items is the file of the records of single items, relative to the run folder.
	Items       string
	ItemsSHA256 string
	// PromptVersion names the wording of the prompts.
	PromptVersion string
	// Confidence of the intervals, Margin of equivalence, Resamples and Seed of the bootstrap;
	// nil where a result does not say.
	Confidence *float64
	Margin     *float64
	Resamples  *int
	Seed       *uint64
	// Facts are the others, by name: a benchmark has its own, and so has a user's task. What
	// cannot be a value of a field above, such as a seed of -3.5, stands here as it was written.
	Facts map[string]Fact
}

// Fact is a value of any kind, as JSON.
type Fact []byte

// NewFact holds a value. One that JSON has no word for, as a number that is none, is told in text.
func NewFact(v any) Fact {
	raw, err := json.Marshal(v)
	if err != nil {
		return NewFact(fmt.Sprint(v))
	}
	return raw
}

// MarshalJSON is the value as it stands.
func (f Fact) MarshalJSON() ([]byte, error) { return f, nil }

// UnmarshalJSON keeps the value as it is written: a seed has 64 bits, a float64 53.
func (f *Fact) UnmarshalJSON(b []byte) error {
	*f = bytes.Clone(b)
	return nil
}

// Value is the fact as Go sees it, with numbers as they are written ([json.Number]).
func (f Fact) Value() any {
	dec := json.NewDecoder(bytes.NewReader(f))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return string(f)
	}
	return v
}

// String says the value in plain text.
func (f Fact) String() string { return fmt.Sprint(f.Value()) }

// Fact is what is said under a name, an empty one where nothing is.
func (p Provenance) Fact(name string) Fact { return p.All()[name] }

// Set adds a fact under a name of its own.
func (p *Provenance) Set(name string, value any) {
	if p.Facts == nil {
		p.Facts = map[string]Fact{}
	}
	p.Facts[name] = NewFact(value)
}

// IsZero tells whether nothing is said.
func (p Provenance) IsZero() bool { return len(p.All()) == 0 }

// fields are those with a name of their own in the file.
func (p *Provenance) fields() map[string]any {
	return map[string]any{
		"items": &p.Items, "items_sha256": &p.ItemsSHA256, "prompt_version": &p.PromptVersion,
		"confidence": &p.Confidence, "margin": &p.Margin, "resamples": &p.Resamples, "seed": &p.Seed,
	}
}

// NamesRecords tells whether what is said under this name is the file of records, which is another
// one for every model.
func NamesRecords(name string) bool { return name == "items" || name == "items_sha256" }

// All is everything that is said, by name.
func (p Provenance) All() map[string]Fact {
	all := map[string]Fact{}
	maps.Copy(all, p.Facts)
	for name, field := range p.fields() {
		if raw := NewFact(field); string(raw) != "null" && string(raw) != `""` {
			all[name] = raw
		}
	}
	return all
}

// MarshalJSON writes one object, its names in order.
func (p Provenance) MarshalJSON() ([]byte, error) { return json.Marshal(p.All()) }

// UnmarshalJSON reads it.
func (p *Provenance) UnmarshalJSON(b []byte) error {
	*p = Provenance{}
	var all map[string]Fact
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	for name, fact := range all {
		var tried Provenance // what fails leaves traces
		if field, known := tried.fields()[name]; known && json.Unmarshal(fact, field) == nil {
			if err := json.Unmarshal(fact, p.fields()[name]); err != nil {
				return err
			}
			continue
		}
		if p.Facts == nil {
			p.Facts = map[string]Fact{}
		}
		p.Facts[name] = fact
	}
	return nil
}
