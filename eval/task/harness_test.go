package task

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"steer/internal/jinja"
)

// harness is the folder lm_eval/tasks of lm-evaluation-harness, which the environment names.
func harness(t *testing.T) string {
	t.Helper()
	root := os.Getenv("STEER_HARNESS")
	if root == "" {
		t.Skip("the task files of lm-evaluation-harness are not here: make test fetches them; or pip download " +
			"lm-eval==0.4.13 --no-deps, unpack it, and set STEER_HARNESS to its folder lm_eval/tasks")
	}
	return root
}

// firstFile is the first task file of a folder by name: in itself, else anywhere below.
func firstFile(t *testing.T, folder string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	require.NoError(t, err)
	if len(files) == 0 {
		require.NoError(t, filepath.WalkDir(folder, func(path string, _ os.DirEntry, err error) error {
			if strings.HasSuffix(path, ".yaml") {
				files = append(files, path)
			}
			return err
		}))
	}
	slices.Sort(files)
	require.NotEmpty(t, files, folder)
	return files[0]
}

// The first files of the folders of the harness: how many load, and why the others do not. The
// numbers stand in docs/tasks.md.
func TestHarnessFolders(t *testing.T) {
	root := harness(t)
	folders, err := os.ReadDir(root)
	require.NoError(t, err)
	names, err := newIndex(root)
	require.NoError(t, err)
	loaded, all := 0, 0
	why := map[string]int{}
	for _, f := range folders {
		if !f.IsDir() {
			continue
		}
		all++
		path := firstFile(t, filepath.Join(root, f.Name()))
		isGroup, err := IsGroup(path)
		require.NoError(t, err)
		if isGroup {
			_, err = (&groups{index: names}).file(path, nil)
		} else {
			_, err = Load(path, os.DevNull)
		}
		if err == nil {
			loaded++
			continue
		}
		require.NotContains(t, err.Error(), "\n", "one line says why")
		reason := reasonOf(err.Error())
		why[reason]++
		t.Logf("%s: %s", f.Name(), strings.ReplaceAll(err.Error(), root+"/", ""))
	}
	t.Logf("%d of %d load", loaded, all)
	for reason, n := range why {
		t.Logf("%4d %s", n, reason)
	}
	require.Equal(t, 221, all, "of lm-eval 0.4.13")
	require.GreaterOrEqual(t, loaded, 142)
}

// kinds are what a refusal says, as far as it tells its kind.
var kinds = regexp.MustCompile(`([a-z_]+)[a-z_.\[\]0-9]*: (!function|none of its metrics|want|not supported|unknown)`)

// reasonOf sorts a refusal by its kind.
func reasonOf(message string) string {
	all := kinds.FindAllStringSubmatch(message, -1)
	if all == nil {
		return message
	}
	return all[0][1] + ": " + all[0][2]
}

// Every template of the harness is read.
func TestHarnessTemplates(t *testing.T) {
	root := harness(t)
	n, bad := 0, 0
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".py") || strings.HasSuffix(path, ".md") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		node, err := mapping(path, raw)
		if err != nil {
			return nil // no task file
		}
		for _, key := range []string{"doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix"} {
			v := mappingValue(node, key)
			if v == nil || v.Tag != "!!str" {
				continue
			}
			n++
			if _, err := jinja.Compile(v.Value); err != nil {
				bad++
				t.Logf("%s: %s: %v", strings.TrimPrefix(path, root+"/"), key, err)
			}
		}
		return nil
	}))
	t.Logf("%d of %d templates are read", n-bad, n)
	require.LessOrEqual(t, bad, 0)
}
