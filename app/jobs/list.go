package jobs

import (
	"slices"

	"steer/eval/benchmark"
)

// Listing is what can be measured, and which of the data are there.
type Listing struct {
	// Data is the folder that was looked in.
	Data       string            `json:"data"`
	Suites     []ListedSuite     `json:"suites"`
	Benchmarks []ListedBenchmark `json:"benchmarks"`
}

// ListedSuite is a suite with what it is for.
type ListedSuite struct {
	Name  SuiteName `json:"name"`
	About string    `json:"about"`
}

// ListedBenchmark is a benchmark with the suites it is in.
type ListedBenchmark struct {
	benchmark.Listed
	Suites []SuiteName  `json:"suites"`
	Data   []ListedData `json:"data"`
}

// ListedData is a data file of a benchmark.
type ListedData struct {
	Key string `json:"key"`
	// Files are looked for in this order, below the data folder; none: no suite has it, and its
	// path is given by the job.
	Files []string `json:"files"`
	// Found is the path of the file that is there.
	Found string `json:"found,omitempty"`
	// From and Lost are of what is missing: where it comes from, and what there is no result of.
	From string `json:"from,omitempty"`
	Lost string `json:"lost,omitempty"`
	// Fetch is the command that fetches what is missing, where there is one.
	Fetch string `json:"fetch,omitempty"`
}

// List lists suites and benchmarks, and looks for their data below a folder. With a suite's
// name it lists that suite's alone.
func List(data string, only SuiteName) (*Listing, error) {
	if only != "" {
		if _, err := loadSuite(only); err != nil {
			return nil, err
		}
	}
	entries, err := catalogue()
	if err != nil {
		return nil, err
	}
	l := &Listing{Data: data, Suites: []ListedSuite{}, Benchmarks: []ListedBenchmark{}}
	has := map[SuiteName][]string{}
	for _, name := range only.Values() {
		name := SuiteName(name)
		if only != "" && only != name {
			continue
		}
		s, err := loadSuite(name)
		if err != nil {
			return nil, err
		}
		l.Suites = append(l.Suites, ListedSuite{name, s.About})
		has[name] = s.Data
	}
	for _, b := range benchmark.Benchmarks() {
		listed := ListedBenchmark{Listed: b, Suites: []SuiteName{}}
		for _, key := range b.Keys {
			i := slices.IndexFunc(entries, func(e dataEntry) bool { return e.Key == key })
			if i < 0 {
				listed.Data = append(listed.Data, ListedData{Key: key, Files: []string{}})
				continue
			}
			d, err := lookFor(data, entries[i])
			if err != nil {
				return nil, err
			}
			listed.Data = append(listed.Data, d)
			if key != b.Keys[0] {
				continue
			}
			for _, s := range l.Suites {
				if slices.Contains(has[s.Name], key) || slices.Contains(has[s.Name], "all") {
					listed.Suites = append(listed.Suites, s.Name)
				}
			}
		}
		if only == "" || len(listed.Suites) > 0 {
			l.Benchmarks = append(l.Benchmarks, listed)
		}
	}
	return l, nil
}

// lookFor looks for the data of one key as an evaluation with reward models does.
func lookFor(data string, e dataEntry) (ListedData, error) {
	j := NewEval()
	j.Data, j.Rewards = data, []RewardModel{{Name: "any"}}
	d := ListedData{Key: e.Key, Files: e.Files}
	found, err := j.findEntry(e)
	if err != nil {
		return d, err
	}
	if !found {
		m := j.Missing[len(j.Missing)-1]
		d.From, d.Lost, d.Fetch = m.From, m.Lost, m.command()
		return d, nil
	}
	for _, f := range j.DataFiles() {
		if f.Key == e.Key {
			d.Found = *f.Path
		}
	}
	return d, nil
}
