package proposal

import (
	"fmt"
	"path/filepath"
	"strings"

	"steer/app/experiment"
	"steer/app/workspace"
	"steer/ggml/adapter"
	"steer/ggml/modelfile"
	"steer/internal/printable"
	"steer/rl/data"
)

// New looks at a model and data files for an experiment that is to lie in the folder dir. name may be ""
// for that of the first file. Of reading, the columns count and whether unsupported keys are dropped.
func New(model string, files []string, name, dir string, reading data.Source) (*Proposal, error) {
	p := &Proposal{Name: name, Model: model, Columns: reading.Columns, DropUnsupported: reading.DropUnsupported}
	if err := p.readModel(); err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := p.Add(file); err != nil {
			return nil, experiment.WithSources(err)
		}
	}
	if err := p.Complete(filepath.Join(dir, "data")); err != nil {
		return nil, err
	}
	if p.Name == "" {
		p.Name = stem(model)
		if len(files) > 0 {
			p.Name = stem(files[0])
		}
	}
	return p, nil
}

// readModel reads the header of the model.
func (p *Proposal) readModel() error {
	f, err := modelfile.Open(p.Model)
	if err != nil {
		return experiment.WithSources(err)
	}
	defer f.Close()
	shape, err := adapter.ShapeOf(f)
	if err != nil {
		return experiment.WithSources(fmt.Errorf("model: %w", err))
	}
	name, _ := f.String("general.name") // "" where there is none
	arch, _ := f.String("general.architecture")
	length, _ := f.Uint64(arch + ".context_length") // the shape needs both
	p.Context = int(length)
	p.About = strings.TrimSpace(fmt.Sprintf("%s, %d layers of width %d, context %d",
		printable.Text(name, 40), shape.Layers, shape.Embd, length))
	p.Template, p.Why, err = workspace.GuessTemplate(p.Model)
	return err
}

// stem is a file's name without folder and endings.
func stem(path string) string {
	name := filepath.Base(path)
	for _, ending := range []string{".gz", ".zst", ".gguf", ".jsonl", ".json", ".csv", ".parquet", ".xml"} {
		name = strings.TrimSuffix(name, ending)
	}
	return name
}
