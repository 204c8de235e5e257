package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"steer/ggml/adapter/safetensors"
)

// shards are the files of a repository's weights.
type shards struct {
	dir   string
	files []*safetensors.File
	of    map[string]*safetensors.File // the file of a tensor
	path  map[string]string            // its name, for errors
}

const indexName = "model.safetensors.index.json"

// openShards opens the files that the index names, or model.safetensors, or all there are.
func openShards(dir string) (*shards, error) {
	s := &shards{dir: dir, of: map[string]*safetensors.File{}, path: map[string]string{}}
	index, err := readIndex(filepath.Join(dir, indexName))
	if err != nil {
		return nil, err
	}
	names, err := shardNames(dir, index)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := s.open(name, index); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	for tensor, name := range index {
		if s.of[tensor] == nil || s.path[tensor] != name {
			return nil, errors.Join(fmt.Errorf("%s: weight_map: tensor %q is not in %s: download that file again, or "+
				"the "+
				"index does not belong to it", filepath.Join(dir, indexName), tensor, name), s.close())
		}
	}
	return s, nil
}

func (s *shards) open(name string, index map[string]string) error {
	f, err := safetensors.Open(filepath.Join(s.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: weight_map names %s, which is not there: download it (all %d parts are needed)",
			filepath.Join(s.dir, indexName), name, len(shardsOf(index)))
	}
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	for _, t := range f.Tensors() {
		if at, twice := s.path[t.Name]; twice {
			return fmt.Errorf("%s: tensor %q is in %s too: which one is meant cannot be "+
				"told", filepath.Join(s.dir, name),
				t.Name, at)
		}
		s.of[t.Name], s.path[t.Name] = f, name
	}
	return nil
}

// hasOutput tells whether there is an output matrix beside the embedding.
func (s *shards) hasOutput() bool {
	for name := range s.of {
		if strings.HasSuffix(name, "lm_head.weight") {
			return true
		}
	}
	return false
}

func (s *shards) close() error {
	if s == nil {
		return nil
	}
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// readIndex reads which tensor is in which file; nil if there is no index.
func readIndex(path string) (map[string]string, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, fmt.Errorf("%s: want {\"weight_map\": {tensor: file}}: %w", path, err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fmt.Errorf("%s: weight_map is missing or empty", path)
	}
	for tensor, name := range index.WeightMap {
		if name != filepath.Base(name) || !strings.HasSuffix(name, ".safetensors") {
			return nil, fmt.Errorf("%s: weight_map: tensor %q: %q is no file name ending in "+
				".safetensors", path, tensor, name)
		}
	}
	return index.WeightMap, nil
}

func shardsOf(index map[string]string) []string {
	var names []string
	for _, name := range index {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func shardNames(dir string, index map[string]string) ([]string, error) {
	if index != nil {
		return shardsOf(index), nil
	}
	if st, err := os.Stat(filepath.Join(dir, "model.safetensors")); err == nil && st.Mode().IsRegular() {
		return []string{"model.safetensors"}, nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		return nil, err
	}
	switch {
	case len(found) == 1:
		return []string{filepath.Base(found[0])}, nil
	case len(found) > 1:
		return nil, fmt.Errorf("%s: %d .safetensors files, but no %s that says what is in which: download it too", dir,
			len(found), indexName)
	}
	return nil, noWeights(dir)
}

// Pickled is the way from pickled weights to safetensors.
const Pickled = `pickled weights (.bin, .pt, .pth) are programs that run when they are read, and steer does not.
Take a repository or a revision with .safetensors files. Or make them, where Python and
transformers are, of a repository that you trust:

    from transformers import AutoModelForCausalLM, AutoTokenizer
    AutoModelForCausalLM.from_pretrained("FOLDER", dtype="auto").save_pretrained("OUT")
    AutoTokenizer.from_pretrained("FOLDER").save_pretrained("OUT")

On the hub, the space safetensors/convert opens a pull request with them; its revision is
refs/pr/N.`

// noWeights says what is there instead of safetensors.
func noWeights(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".bin", ".pt", ".pth", ".ckpt":
			return fmt.Errorf("%s: no .safetensors files, but %s: %s", dir, e.Name(), Pickled)
		}
	}
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".h5", ".msgpack", ".onnx":
			return fmt.Errorf("%s: no .safetensors files, but %s: want the weights as PyTorch has them, as "+
				"safetensors", dir,
				e.Name())
		}
	}
	return fmt.Errorf("%s: no weights: want model.safetensors, or %s with the files it names", dir, indexName)
}
