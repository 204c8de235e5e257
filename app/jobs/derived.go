package jobs

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"steer/internal/conf"
)

// derivedKey is the key of Derived in every job.
const derivedKey = "derived"

// Derived are the settings that a run does not have from its configuration but from the model,
// the template or the device, under the keys that they take the place of. They are written into
// config.yaml, so that it says what ran, and are no part of what makes two runs the same: each
// run derives its own. Values are as one would write them after the key.
type Derived map[string]string

// note records a setting that ran otherwise than it was configured.
func (d *Derived) note(key string, configured, ran any) {
	if reflect.DeepEqual(configured, ran) {
		return
	}
	if *d == nil {
		*d = Derived{}
	}
	text, err := json.Marshal(ran) // which is YAML, too
	if err != nil {
		panic(err) // numbers and strings
	}
	(*d)[key] = string(text)
}

// configured leaves what was derived out of a comparison.
func configured(diff []conf.Change) []conf.Change {
	return slices.DeleteFunc(written(diff), func(c conf.Change) bool {
		return c.Key == derivedKey || strings.HasPrefix(c.Key, derivedKey+".")
	})
}
