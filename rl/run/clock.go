package run

import (
	"encoding/json"
	"slices"
	"sync"
	"time"

	"steer/internal/atomicfile"
)

// clockEvery is how often the time worked so far is put on disk.
const clockEvery = 10 * time.Second

// clock keeps run.json, above all how long the run is being worked on.
type clock struct {
	path  string
	now   func() time.Time
	began time.Time

	mu   sync.Mutex
	info Info // of which the last of Seconds grows

	quit, done chan struct{}
}

func newClock(path string, i Info, now func() time.Time) *clock {
	return &clock{path: path, info: i, now: now, began: now()}
}

// sittings are the seconds of each time the run was opened.
func (c *clock) sittings() []float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info.Seconds[len(c.info.Seconds)-1] = c.now().Sub(c.began).Seconds()
	return slices.Clone(c.info.Seconds)
}

// save writes run.json.
func (c *clock) save() error {
	i := c.info
	i.Seconds = c.sittings()
	data, err := json.MarshalIndent(i, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(c.path, append(data, '\n'), 0o666)
}

// start lets the time be saved now and then until stop. That it cannot be is no reason to end a
// run: a full disk is told of by whatever else is written.
func (c *clock) start() {
	c.quit, c.done = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(c.done)
		tick := time.NewTicker(clockEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-c.quit:
				return
			}
			_ = c.save()
		}
	}()
}

// stop saves the time for the last time.
func (c *clock) stop() {
	if c.quit == nil {
		return
	}
	close(c.quit)
	<-c.done
	c.quit = nil
	_ = c.save()
}
