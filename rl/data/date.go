package data

import (
	"fmt"
	"time"
)

// Date is a day, or a time of a day, as configurations write it: 2026-01-31 or 2026-01-31T09:26:53.
// "" is none.
type Date string

// Time gives the date as a time without a zone; zero for none.
func (d Date) Time() (time.Time, error) {
	if d == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04:05", time.DateTime} {
		if t, err := time.Parse(layout, string(d)); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("date: want a day such as 2026-01-31, or a time such as "+
		"2026-01-31T09:26:53, got %q", string(d))
}
